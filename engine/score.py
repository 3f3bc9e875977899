"""`python -m engine.score FOLDER FILE`: scores the texts in FILE as an evaluation does.

Prints one JSON object to stdout. With `--fit`, FOLDER is a temporary run folder with a configuration. The base model
first answers the questions of the curriculum, and a new scorer is fitted. Without it, FOLDER is a run, and the run's
own scorer is used.
"""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, STOPPED
from engine.contract.journal.events import Preparing
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import load_config
from engine.contract.vocabulary import BASE
from engine.data.curriculum import Curriculum
from engine.model.backend import prepare
from engine.runtime.control import Stop
from engine.runtime.progress import TellingRecorder, tell
from engine.runtime.recorder import Recorder


def score(folder: RunDir, file: Path, fit: bool) -> dict[str, Any]:
    """Returns the scored `rows`, and their means by topic (`topics`) and overall (`all`).

    Raises InputError with file and line.
    """
    config = load_config(folder.config)
    backend = prepare()  # before mlx
    from engine.evaluation.file_scores import read_texts, report
    from engine.pipeline import setup

    curriculum = setup.load(config)
    texts = read_texts(file, curriculum)
    if not fit:
        from engine.pipeline.saved_voice import saved_scoring

        return report(saved_scoring(folder, backend, config, curriculum, tell), texts)
    recorder = TellingRecorder(folder)
    try:
        return report(_fitted(folder, recorder, backend, config, curriculum), texts)
    finally:
        recorder.close()


def _fitted(folder: RunDir, recorder: Recorder, backend: Any, config: RunConfig, curriculum: Curriculum) -> Any:
    """Fits a scorer for a configuration, from its rows and from the base model's answers to its questions."""
    from engine.evaluation.evaluate import measure
    from engine.evaluation.scoring import scoring_of
    from engine.pipeline import setup
    from engine.runtime.history import History

    session, _ = setup.open_session(folder, recorder, backend, config, curriculum, History())
    doing = "the base model answers the questions of the curriculum"
    recorder.say(Preparing(doing))
    measure(session, curriculum.topics, BASE, doing=doing)
    return scoring_of(session)


def main() -> int:
    """Returns exit status 0; 2 after printing an error; 130 if it was interrupted."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="python -m engine.score")
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = score(RunDir(given.folder), given.file, given.fit)
    except (KeyboardInterrupt, Stop):
        return STOPPED
    except InputError as error:
        tell(str(error))
        return BAD_INPUT
    print(json.dumps(found, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
