"""`python -m engine.check FOLDER`: the preflight of FOLDER/config.yaml as one JSON object; trains nothing that stays.

FOLDER is a throw-away run folder: the self-test journals, checkpoints and commits there as a run does.
"""

import contextlib
import dataclasses
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from engine.backend import prepare, process_bytes
from engine.contract.config import RunConfig, load_config
from engine.contract.errors import InputError
from engine.contract.events import Event, Preparing, Record
from engine.contract.rundir import RunDir
from engine.control import Stop
from engine.record import Recorder

BAD_INPUT, STOPPED = 2, 130
CROWDED = 0.9  # share of the machine's memory from which a run is warned of

Report = dict[str, Any]


class Telling(Recorder):
    """Says on stderr, too, what is being prepared."""

    def say(self, event: Event, *, durable: bool = False) -> Record:
        if isinstance(event, Preparing):
            _tell(event.message)
        return super().say(event, durable=durable)


def check(run: RunDir) -> Report:
    """The report; `problems` says what makes a run pointless, and sections that were not come to are null."""
    sections = ("model", "data", "topics", "gates", "selftest", "rules", "prediction")
    report: Report = dict.fromkeys(sections) | {"problems": [], "warnings": []}
    try:
        config = load_config(run.config)
        report = {"config": config.run.name} | report
        _examine(run, config, report)
    except InputError as error:
        report["problems"].append(str(error))
    return report


def _examine(run: RunDir, config: RunConfig, report: Report) -> None:
    began = time.monotonic()
    backend = prepare()  # before mlx
    from engine import opening
    from engine.audit import audit, summed
    from engine.history import History
    from engine.reach import unreachable

    limits = config.thresholds
    report["gates"] = dataclasses.asdict(limits) | {"when": config.dpo.when, "strategy": config.adapters.strategy}
    curriculum = opening.load(config)
    report["warnings"] += [*curriculum.warnings, *unreachable(curriculum, limits), *_gate_warnings(config)]
    if backend.warning:
        report["warnings"].append(backend.warning)
    report["problems"] += opening.pointless(curriculum, config)
    report["data"] = {"rows_read": curriculum.rows_read, "rows_used": curriculum.rows_used}
    if report["problems"]:
        return
    recorder = Telling(run)
    try:
        session = opening.open_session(run, recorder, backend, config, curriculum, History())
        loading = time.monotonic() - began
        report["model"] = {
            "name": config.model.name,
            "parameters": session.parameters,
            "dtype": str(session.ledger.dtype).rpartition(".")[2],
            "device": backend.device,
            "fingerprint": session.ledger.declared,
        }
        topics = audit(curriculum, session.renderer, config)
        report["data"] = dataclasses.asdict(summed(curriculum, topics)) | {"max_length": config.model.max_length}
        report["topics"] = [dataclasses.asdict(topic) | {"base": None} for topic in topics]
        _measure(session, report, [topic.work for topic in topics], loading)
    finally:
        recorder.close()


def _measure(session: Any, report: Report, works: list[Any], loading: float) -> None:
    """Scores the base model, tries the phases, and adds up what a run would take."""
    from engine.evaluate import evaluate
    from engine.forecast import Span, as_answered, of_topics
    from engine.invariants import CHECKS, Broken
    from engine.trial import run_trial

    topics, config = session.curriculum.topics, session.config
    _tell(f"scoring the base model on {len(topics)} topics")
    started = time.monotonic()
    base = evaluate(session, topics, "before")
    scoring = time.monotonic() - started
    for row in report["topics"]:
        found = base[row["topic"]]
        names = ("voice", "accuracy", "combined", "preference_accuracy", "health", "cut")
        row["base"] = {name: getattr(found, name) for name in names}
    report["warnings"] += _base_warnings(report["topics"], config)
    _tell("two steps of each phase on the longest rows")
    try:
        trial = run_trial(session)
    except Broken as broken:
        report["problems"].append(f"the self-test broke the rule {broken.rule.name}: {broken}")
        return
    except (InputError, Stop):
        raise
    except Exception as error:  # noqa: BLE001 - told with its traceback: a run would end in it too
        traceback.print_exc()
        report["problems"].append(f"the self-test failed: {type(error).__name__}: {error}")
        return
    finally:
        report["rules"] = dict(CHECKS.held)
    limit = config.evaluation.max_tokens
    works = [as_answered(work, base[topic.id], limit) for work, topic in zip(works, topics, strict=True)]
    report["selftest"] = [dataclasses.asdict(phase) for phase in trial.phases]
    span = Span(loading + scoring, loading + scoring) + of_topics(works, trial.rates, config, begun=False)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    report["prediction"] = {
        "seconds": span.seconds,
        "least": span.least,
        "loading": loading,
        "base": scoring,
        "rates": dataclasses.asdict(trial.rates),
        "peak_bytes": trial.peak_bytes,
        "process_bytes": process_bytes(),
        "machine_bytes": memory,
    }
    most = max(trial.peak_bytes, process_bytes())
    if most > CROWDED * memory:
        report["warnings"].append(f"a run takes about {most / 1e9:.1f} GB of the machine's {memory / 1e9:.1f} GB")


def _gate_warnings(config: RunConfig) -> list[str]:
    """What the thresholds say about DPO when they are read together."""
    limits = config.thresholds
    if config.adapters.strategy == "sft_only" or config.dpo.when != "gated":
        return []
    if limits.dpo_trigger == 0:
        return ["thresholds.dpo_trigger = 0 and dpo.when = gated: no voice lies below it, so DPO never runs"]
    if limits.dpo_trigger < limits.voice:
        return [
            f"thresholds.dpo_trigger = {limits.dpo_trigger:g} is below thresholds.voice = {limits.voice:g}: a topic "
            "between the two does not pass, and DPO does not run for it"
        ]
    return []


def _base_warnings(topics: list[Report], config: RunConfig) -> list[str]:
    """Where the base model itself makes the gates say little."""
    limits, found = config.thresholds, []
    passing = [t for t in topics if t["base"]["voice"] >= limits.voice and t["base"]["accuracy"] >= limits.accuracy]
    if passing:
        found.append(
            f"the base model passes {len(passing)} of {len(topics)} topics untrained, {passing[0]['topic']} among "
            "them: passing says nothing about training there"
        )
    sick = [topic for topic in topics if topic["base"]["health"] != "ok"]
    if sick:
        found.append(
            f"the base model's answers are not healthy in {len(sick)} of {len(topics)} topics "
            f"({sick[0]['base']['health']} in {sick[0]['topic']})"
        )
    return found


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> int:
    """Exit status 0; 2 when a run would be pointless; 130 when it was interrupted."""
    os.umask(0o077)
    if len(sys.argv) != 2:
        _tell("usage: python -m engine.check FOLDER")
        return BAD_INPUT
    try:
        with contextlib.redirect_stdout(sys.stderr):
            report = check(RunDir(Path(sys.argv[1])))
    except (KeyboardInterrupt, Stop):
        return STOPPED
    print(json.dumps(report, ensure_ascii=False))
    return BAD_INPUT if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
