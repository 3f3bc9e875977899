"""`python -m engine.check FOLDER`: the preflight of FOLDER/config.yaml, printed as one JSON object.

FOLDER is a temporary run folder. The self-test writes its journal, checkpoints and commits there, as a run does. No
training result is kept.
"""

import contextlib
import dataclasses
import json
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import structs

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, STOPPED
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import load_config
from engine.contract.vocabulary import BASE
from engine.contract.wording import several
from engine.data.curriculum import Curriculum
from engine.data.data_warnings import length_ratio, length_warnings
from engine.data.unusable import UnusableRows, sentences
from engine.model.backend import memory_bytes, prepare, process_bytes
from engine.preflight.amount import amount_warnings
from engine.preflight.gates import (
    base_warnings,
    gate_warnings,
    question_warnings,
    reference_warnings,
    unreachable,
    voice_of_rows,
)
from engine.rules.catalogue import LATER, OF_DATA, RULES
from engine.runtime.control import Stop
from engine.runtime.progress import TellingRecorder, tell

CROWDED = 0.9  # warn if a run needs more than this share of the available memory

Report = dict[str, Any]


def check(run: RunDir) -> Report:
    """Returns the report. `problems` has the reasons why a run would be pointless. Sections not reached are null."""
    sections = ("model", "data", "topics", "gates", "controls", "selftest", "rules", "prediction")
    report: Report = dict.fromkeys(sections) | {"problems": [], "warnings": [], "bad_rows": []}
    try:
        config = load_config(run.config)
        report = {"config": config.run.name} | report
        _examine(run, config, report)
    except UnusableRows as error:
        report["problems"] += sentences(error.rows)
        report["bad_rows"] = [dataclasses.asdict(row) for row in error.rows]
    except InputError as error:
        report["problems"] += str(error).split("\n  ")
    return report


def _examine(run: RunDir, config: RunConfig, report: Report) -> None:
    began = time.monotonic()
    backend = prepare()  # before mlx
    from engine.model import loading as model_loading
    from engine.pipeline import setup
    from engine.preflight.token_audit import summed, works
    from engine.rules.enforce import CHECKS
    from engine.runtime.history import History

    before, limits = Counter(CHECKS.held), config.thresholds
    report["gates"] = dataclasses.asdict(limits) | {"when": config.dpo.when, "strategy": config.adapters.strategy}
    curriculum = setup.load(config)
    report["warnings"] += [*curriculum.warnings, *gate_warnings(config)]
    missed = setup.gates_missed(curriculum, config) if limits.unreachable == "warn" else []  # else they are problems
    report["warnings"] += [*missed, *reference_warnings(curriculum), *question_warnings(curriculum)]
    report["warnings"] += amount_warnings(curriculum, config)
    if backend.warning:
        report["warnings"].append(backend.warning)
    report["problems"] += setup.reasons_not_to_run(curriculum, config)
    report["data"] = {"rows_read": curriculum.rows_read, "rows_used": curriculum.rows_used}
    if report["problems"]:
        return
    recorder = TellingRecorder(run)
    try:
        session, topics = setup.open_session(run, recorder, backend, config, curriculum, History())
        loading = time.monotonic() - began
        report["warnings"] += filter(None, [model_loading.wider_type_warning(session.model, session.ledger.dtype)])
        report["model"] = {
            "name": config.model.name,
            "parameters": session.parameters,
            "dtype": str(session.ledger.dtype).rpartition(".")[2],
            "device": backend.device,
            "fingerprint": session.ledger.declared,
        }
        curriculum = session.curriculum
        report["bad_rows"] = [dataclasses.asdict(row) for row in curriculum.unusable]
        report["data"] = structs.asdict(summed(curriculum, topics)) | {"max_length": config.model.max_length}
        report["topics"] = [dataclasses.asdict(topic) | {"base": None, "voice": None} for topic in topics]
        broken = _measure(session, report, works(curriculum, topics, session.renderer, config), loading)
        of_data = _of_data(curriculum, missed)
        held = CHECKS.held - before + Counter({name: len(holds) for name, holds in of_data.items()})
        report["rules"] = _rules(held, broken | {name for name, holds in of_data.items() if not all(holds)})
    finally:
        recorder.close()


def _of_data(curriculum: Curriculum, missed: list[str]) -> dict[str, list[bool]]:
    """Returns the rules that are checked before a model is loaded, with the result of each check.

    Settings that break a rule were refused earlier. `missed` has a sentence for each gate that cannot be reached.
    """
    pairs = [topic for topic in curriculum.topics if length_ratio(topic) is not None]
    lengths = [not length_warnings(topic) for topic in pairs]
    return dict(zip(OF_DATA, ([True], [not missed], lengths), strict=True))


def _rules(held: Counter[str], broken: set[str]) -> Report:
    """Returns every rule once: with the number of checks that held, as broken, or with the reason for no check."""
    rest = [name for name in RULES if name not in broken and not held[name]]
    return {
        "held": {name: count for name, count in held.items() if name not in broken and count},
        "broken": [name for name in RULES if name in broken],
        "not_looked_at": {name: LATER.get(name, "the self-test did not come to it") for name in rest},
    }


def _measure(session: Any, report: Report, works: dict[str, Any], loading: float) -> set[str]:
    """Scores the base model, runs the self-test, and predicts time and memory of a run. Returns the broken rules."""
    from engine.pipeline.dry_run import run_trial
    from engine.rules.enforce import Broken

    config, topics = session.config, report["topics"]
    try:
        tell(f"scoring the base model on {several(len(topics), 'topic')}")
        scoring = _score(session, topics)
        report["warnings"] += base_warnings(topics, config.thresholds)
        _voice(session, report)
        if report["problems"]:
            return set()
        tell("two steps of each phase on the longest rows")
        trial = run_trial(session)
    except (InputError, Stop):
        raise
    except Exception as error:  # noqa: BLE001 - printed with its traceback; it would end a run, too
        traceback.print_exc()
        what = f"broke the rule {error.rule.name}:" if isinstance(error, Broken) else f"failed: {type(error).__name__}:"
        report["problems"].append(f"the self-test {what} {error}")
        return {error.rule.name} if isinstance(error, Broken) else set()
    report["selftest"] = [dataclasses.asdict(phase) for phase in trial.phases]
    report["prediction"] = _predict(config, topics, works, trial, loading, scoring)
    found = report["prediction"]
    most, whole = max(found["peak_bytes"], found["process_bytes"]), found["memory_bytes"]
    if most > CROWDED * whole:
        report["warnings"].append(f"a run takes about {most / 1e9:.1f} GB of the {whole / 1e9:.1f} GB that it can have")
    return set()


def _score(session: Any, rows: list[Report]) -> float:
    """Adds the base model's scores to the topics' rows. Returns the seconds that scoring took."""
    from engine.evaluation.evaluate import measure

    started = time.monotonic()
    base = measure(session, session.curriculum.topics, BASE)
    for row in rows:
        names = ("voice", "closeness", "relevance", "accuracy", "combined", "preference_accuracy", "health", "cut")
        row["base"] = {name: getattr(base[row["topic"]], name) for name in names}
    return time.monotonic() - started


def _voice(session: Any, report: Report) -> None:
    """Adds to the report the voice of the rows under the fitted scorer, and the controls of the score."""
    from engine.evaluation.scoring import scoring_of
    from engine.pipeline.setup import ADVICE
    from engine.preflight.control_report import as_rows, control_warnings, measure_controls

    curriculum, limits = session.curriculum, session.config.thresholds
    scorer = scoring_of(session).scorer
    for row, topic in zip(report["topics"], curriculum.topics, strict=True):
        row["voice"] = voice_of_rows(curriculum, topic, scorer)
    report["warnings"] += filter(None, [scorer.style.advice])
    if not any(topic.pairs or topic.heldout for topic in curriculum.topics):  # else it was checked before
        missed = unreachable(curriculum, limits, scorer)
        if limits.unreachable == "warn":
            report["warnings"] += missed
        else:
            report["problems"] += [f"{sentence}; {ADVICE}" for sentence in missed]
    tell("attacking the score with the rows of the curriculum")
    controls = measure_controls(session)
    report["controls"] = as_rows(controls)
    report["warnings"] += control_warnings(controls)


def _predict(
    config: RunConfig, topics: list[Report], works: dict[str, Any], trial: Any, loading: float, scoring: float
) -> Report:
    from engine.preflight.forecast import Span, as_answered, of_topics

    limit = config.evaluation.max_tokens
    cut = {row["topic"]: row["base"]["cut"] for row in topics}
    every = [as_answered(work, cut.get(id, sum(cut.values())), limit) for id, work in works.items()]
    begin = Span(loading + scoring, loading + scoring)
    span = begin + of_topics(every, trial.rates, config, begun=False, exam=scoring)
    return dataclasses.asdict(span) | {
        "loading": loading,
        "base": scoring,
        "rates": dataclasses.asdict(trial.rates),
        "peak_bytes": trial.peak_bytes,
        "process_bytes": process_bytes() + trial.growth,
        "dequantized_bytes": trial.growth,
        "memory_bytes": memory_bytes(),
    }


def main() -> int:
    """Returns exit status 0; 2 if a run would be pointless; 130 if it was interrupted."""
    os.umask(0o077)
    if len(sys.argv) != 2:
        tell("usage: python -m engine.check FOLDER")
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
