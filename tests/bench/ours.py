"""Times this engine's own SFT and DPO phases on the fixed workload and prints one JSON line: `ours.py {sft,dpo} STEPS`.

The phases are train_sft and train_dpo on a session that engine/pipeline/setup.py opened, as in a run; the
seconds of a step and the memory are what the run's own journal says.
"""

import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import workload
import yaml
from msgspec.structs import asdict

from engine.contract.journal.events import Step
from engine.contract.journal.store import read_journal
from engine.contract.run_folder import folder as run_folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.contract.settings.load import load_config
from engine.model.backend import prepare
from engine.runtime.recorder import Recorder

TOPIC = "unit-01/chapter-01/topic-01"


def write_curriculum(folder: Path, sft: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """A curriculum of one topic with these SFT rows and these pairs; those that are not trained on are held out."""
    folder.mkdir(parents=True)
    topic = {"id": "topic-01", "title": "The sea"}
    unit = {"id": "unit-01", "title": "All", "chapters": [{"id": "chapter-01", "title": "All", "topics": [topic]}]}
    (folder / "curriculum.yaml").write_text(yaml.safe_dump({"title": "Bench", "units": [unit]}))
    group = {"name": "sea", "weight": 1.0, "expected": 1, "patterns": ["sea", "light"]}
    (folder / "voice.yaml").write_text(yaml.safe_dump({"name": "bench", "groups": [group]}))
    held = {"topic": TOPIC, "question": "What is a lighthouse for?", "reference": "It shows ships where the rocks are."}
    workload.write_rows(folder / "sft.jsonl", [{"topic": TOPIC, **row} for row in sft])
    workload.write_rows(folder / "preferences.jsonl", [{"topic": TOPIC, **row} for row in pairs])
    workload.write_rows(folder / "quiz.jsonl", [held])


def settings(curriculum: Path, dpo_steps: int) -> dict[str, Any]:
    """The configuration of a run that trains the workload."""

    def phase(spec: dict[str, Any]) -> dict[str, Any]:
        alpha = spec["scale"] * spec["rank"]
        names = dict(rank=spec["rank"], alpha=alpha, modules=list(spec["modules"]), batch=spec["batch"])
        return names | dict(learning_rate=spec["lr"])

    return {
        "curriculum": {"path": str(curriculum)},
        "sft": phase(workload.SFT) | {"epochs": 1},
        "dpo": phase(workload.DPO) | {"steps": dpo_steps, "beta": workload.DPO["beta"], "when": "always"},
        "thresholds": {"accuracy": 0.0, "voice": 0.0, "worse": 1.0, "unreachable": "warn"},
    }


@contextmanager
def opened(config: dict[str, Any]) -> Iterator[Any]:
    """A session as a run opens it, in a temporary run folder."""
    prepare()
    from engine.pipeline.setup import open_session, read_curriculum
    from engine.runtime.history import History

    with tempfile.TemporaryDirectory() as scratch:
        run = run_folder.create(Path(scratch), "bench")
        run.config.write_text(yaml.safe_dump(config))
        lock, recorder = Lock(run), Recorder(run)
        effective = load_config(run.config)
        curriculum = read_curriculum(effective)
        yield open_session(run, recorder, prepare(), effective, curriculum, History())[0]
        recorder.close()
        lock.release()


def steps_of(run: RunDir) -> list[Step]:
    """The optimizer steps that the run's journal tells of."""
    return [record.event for record in read_journal(run.journal) if isinstance(record.event, Step)]


def main() -> None:
    kind, steps = sys.argv[1], int(sys.argv[2])
    sft, pairs = workload.rows()
    pairs = [{**pair, "heldout": number >= workload.DPO_ROWS} for number, pair in enumerate(pairs)]
    with tempfile.TemporaryDirectory() as scratch:
        rows = min(workload.SFT_ROWS, steps * workload.SFT["batch"])
        write_curriculum(Path(scratch) / "data", sft[:rows], pairs)
        with opened(settings(Path(scratch) / "data", steps)) as session:
            topic = session.curriculum.topics[0]
            if kind == "sft":
                from engine.training.phases.sft import train_sft

                train_sft(session, topic, 1)
            else:
                from engine.training.phases.dpo import train_dpo

                train_dpo(session, topic, 1, None)
            done = [asdict(step) for step in steps_of(session.run)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps({"seconds": [s["seconds"] for s in done], "array_bytes": done[-1]["peak_bytes"], "rss_bytes": peak})
    )


if __name__ == "__main__":
    main()
