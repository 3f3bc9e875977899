"""`python -m engine.judge RUN_DIR`: a judge rates the answers of a finished run, and goes on where it broke off."""

import argparse
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from engine.contract.schema import FieldError
from engine.contract.settings.config import RunConfig, may_prefer
from engine.contract.settings.judge import JudgeConfig
from engine.contract.settings.load import checked_judge, load_config
from engine.data.curriculum import load_curriculum
from engine.judging.answers import read_answers
from engine.judging.controls import make_controls
from engine.judging.endpoint import Endpoint
from engine.judging.rate import Bench, Replies
from engine.model.backend import prepare
from engine.runtime.progress import tell


def judge(run: RunDir, config: RunConfig, settings: JudgeConfig) -> bool:
    """Rates a run and returns whether the judge's controls hold. Raises InputError if it cannot be rated."""
    if holder(run) is not None:
        raise InputError(f"{run.path}: the run is at work; a judge rates it after its end, and not beside it")
    answers = read_answers(run.journal)
    curriculum = load_curriculum(config.curriculum, needs_pairs=may_prefer(config))
    bench = Bench(run, settings, tell)
    try:
        model: Replies
        if settings.endpoint:
            model = Endpoint(settings)
        else:
            backend = prepare()  # before mlx
            from engine.judging.local_model import LocalModel

            model = LocalModel(settings, backend, tell)
        return bench.rate(model, make_controls(curriculum), answers).reliable
    finally:
        bench.close()


def chosen(configured: JudgeConfig, given: argparse.Namespace) -> JudgeConfig:
    """Returns the judge of the command line, or the configured one. Raises InputError if there is none."""
    for name, value in (("--model", given.model), ("--endpoint", given.endpoint)):
        if value == "":
            raise InputError(f"{name} is empty; name a judge")
    asked = {"model": given.model, "endpoint": given.endpoint, "key_variable": given.key_variable}
    asked = {name: value for name, value in asked.items() if value is not None}
    settings = replace(configured, **asked)
    if given.model is not None and given.endpoint is None:
        settings = replace(settings, endpoint="")  # --model alone is a model that is loaded here
    if given.plain_http:
        settings = replace(settings, plain_http=True)
    try:
        settings = checked_judge(settings, Path())
    except FieldError as error:
        raise InputError(str(error)) from error
    if not settings.model:
        raise InputError("no judge: name one with --model, or in the configuration (evaluation.judge.model)")
    return settings


def main() -> int:
    """Returns exit status 0; 1 if the judge is not reliable; 2 after an error; 3 if the disk fails; 130 at a signal."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m engine.judge")
    parser.add_argument("run", type=Path)
    for name in ("--model", "--endpoint", "--key-variable"):
        parser.add_argument(name)
    parser.add_argument("--plain-http", action="store_true")
    given = parser.parse_args()
    try:
        run = RunDir(given.run)
        config = load_config(run.config)
        return 0 if judge(run, config, chosen(config.evaluation.judge, given)) else 1
    except KeyboardInterrupt:
        return STOPPED
    except InputError as error:
        tell(error)
        return BAD_INPUT
    except OSError as error:
        tell(f"the judge cannot go on: {error}")
        return DIED


if __name__ == "__main__":
    sys.exit(main())
