"""summary.json: what a journal amounts to, per topic, chapter and unit; a pure function of its records."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from engine.contract.journal import events as e
from engine.contract.journal.events import Evaluated, Record
from engine.contract.vocabulary import (
    BASE,
    FIGURES,
    HEADLINES,
    PASSED,
    PHASES,
    PREFERENCE,
    STAGES,
    START,
    SUPERVISED,
    Phase,
    last_kept,
)
from engine.runtime.history import read_history

MEANS = (*(row.summary for row in STAGES.values() if not row.repeated), "final")


def summarize(
    records: Sequence[Record], exit_status: int, fingerprint: str, seconds: float, process_bytes: int | None = None
) -> dict[str, Any]:
    """The summary; a stage that was not run is null, a topic without a verdict is `not_run`.

    `final` of a topic is the evaluation of what was kept of it: after DPO, after SFT, at its start or before.
    """
    started = next(record.event for record in records if isinstance(record.event, e.RunStarted))
    topics: dict[str, dict[str, Any]] = {}
    for record in records:
        _fold(topics, record)
    rows = list(topics.values())
    for row in rows:
        row["decisions"] = [{"decision": word, "reason": reason} for _, word, reason in row["decisions"]]
    return {
        "run": started.run,
        "config": started.config,
        "seed": started.seed,
        "versions": started.versions,
        "exit_status": exit_status,
        "fingerprint": fingerprint,
        "seconds": round(seconds, 1),
        "prediction": _prediction(records, seconds, process_bytes, all(map(_came_up, rows))),
        "passed": sum(row["verdict"] == PASSED for row in rows),
        "of": len(rows),
        "overhead": _overhead(records),
        **{phase: _preference_phase(rows, phase) for phase in PREFERENCE},
        "mean": _means(rows),
        "units": _rolled_up(rows, 1),
        "chapters": _rolled_up(rows, 2),
        "topics": rows,
    }


def _prediction(records: Sequence[Record], seconds: float, process_bytes: int | None, whole: bool) -> dict[str, Any]:
    """What was predicted beside what it took, pauses left out of both.

    `of_what_ran` is the prediction at the start with DPO in those topics in which it ran, null where the run is not
    `whole`: topics were left out of it; `ratio` is it over `real`.
    """
    said = [record.event for record in records if isinstance(record.event, e.Predicted)]
    waited = read_history(records).waited
    real = seconds - waited
    at_start, refined = (said[place] if len(said) > place else None for place in (0, 1))
    ran = of_what_ran(at_start, records) if at_start and whole else None
    return {
        "of_what_ran": round(ran, 1) if ran is not None else None,
        "at_start": round(at_start.seconds, 1) if at_start else None,
        "at_start_least": round(at_start.least, 1) if at_start else None,
        "after_first_topic": round(refined.seconds, 1) if refined else None,
        "real": round(real, 1),
        "paused": round(waited, 1),
        "ratio": round(ran / real, 3) if ran is not None and real > 0 else None,
        "peak_bytes": max((r.event.peak_bytes for r in records if isinstance(r.event, e.Step)), default=None),
        "process_bytes": process_bytes,
    }


def _came_up(row: dict[str, Any]) -> bool:
    """Whether a topic was begun and has its verdict: not where the run was stopped before, or it was skipped."""
    return bool(row["verdict"] != "not_run" and row["attempts"] > 0)


def _fold(topics: dict[str, dict[str, Any]], record: Record) -> None:
    named = getattr(record.event, "topic", None)
    if named is not None and named not in topics:
        return  # a damaged line may name a topic that the curriculum does not have
    match record.event:
        case e.CurriculumLoaded(topics=infos):
            for info in infos:
                topics.setdefault(info.id, _row(info))
        case e.TopicStarted(topic=topic, attempt=attempt):
            before = topics[topic]["before"]
            title = topics[topic]["title"]
            topics[topic] |= _row(None) | {"topic": topic, "title": title, "before": before, "attempts": attempt}
        case e.Evaluated(topic=topic, stage=stage) as evaluated:
            topics[topic][STAGES[stage].summary] = _figures(evaluated)
        case e.AdapterChanged(topic=topic, phase=phase, state=state) if state != "attached":
            row = topics[topic]
            row[phase] = state
            if row["verdict"] != "not_run":  # dropped, to be trained again
                row["final"] = _final(row)
        case e.Decided(topic=topic) as decided:
            topics[topic]["decisions"].append((record.seq, decided.decision, decided.reason))
        case e.Restored(rewind_to=seq):  # what was decided after that is decided again
            for row in topics.values():
                row["decisions"] = [item for item in row["decisions"] if item[0] <= seq]
        case e.TopicFinished(topic=topic) as finished:
            row = topics[topic]
            seconds = round(finished.seconds, 1) if math.isfinite(finished.seconds) else None
            row |= {"verdict": finished.verdict, "reason": finished.reason, "seconds": seconds}
            row["final"] = _final(row)
        case _:
            pass


def _row(info: e.TopicInfo | None) -> dict[str, Any]:
    row: dict[str, Any] = {"topic": info.id, "title": info.title} if info else {}
    row |= {"verdict": "not_run", "reason": None, "seconds": None, "attempts": 0} | dict.fromkeys(PHASES)
    row |= dict.fromkeys(stage.summary for stage in STAGES.values()) | {"final": None, "decisions": []}
    return row


def _figures(evaluated: Evaluated) -> dict[str, Any]:
    figures = {name: getattr(evaluated, name) for name in FIGURES}
    rounded = {  # JSON has no word for what is not finite; the reason of the decision says it
        name: None if value is None or not math.isfinite(value) else round(value, 4) for name, value in figures.items()
    }
    return rounded | {"health": evaluated.health, "cut": evaluated.cut, "model": evaluated.model_fingerprint}


def kept(row: dict[str, Any]) -> Phase | None:
    """The last phase of a topic that is in the model."""
    return last_kept({phase: row[phase] for phase in PHASES})


def _final(row: dict[str, Any]) -> dict[str, Any] | None:
    last = kept(row)
    found = row[STAGES[last].summary] if last else row[START] or row[BASE]
    return dict(found) if found else None


def _overhead(records: Iterable[Record]) -> dict[str, float]:
    """Seconds that checkpoints and checks took, of every process of the run."""
    events = [record.event for record in records]
    return {
        "checkpoint_seconds": _sum(event.seconds for event in events if isinstance(event, e.Checkpointed)),
        "check_seconds": _sum(event.check_seconds for event in events if isinstance(event, e.AdapterChanged)),
    }


def _sum(values: Iterable[float]) -> float:
    """Of what is a number: a damaged line makes no sum one that JSON has no word for."""
    return sum(value for value in values if math.isfinite(value))


def _preference_phase(rows: Iterable[dict[str, Any]], phase: Phase) -> dict[str, Any]:
    """How a preference phase did: topics, roll-backs, the mean held-out margin, where preference accuracy fell."""
    after, supervised = STAGES[phase].summary, STAGES[SUPERVISED[-1]].summary
    ran = [row for row in rows if row[after]]
    stayed = [row for row in ran if row[phase] in e.KEPT]
    margins = [row[after]["heldout_margin"] for row in ran if row[after]["heldout_margin"] is not None]
    return {
        "ran": len(ran),
        "kept": len(stayed),
        "rolled_back": sum(row[phase] == "rolled_back" for row in ran),
        "mean_heldout_margin": round(sum(margins) / len(margins), 4) if margins else None,
        "lowered_preference_accuracy": [
            row["topic"] for row in stayed if row[supervised] and _preference(row[after]) < _preference(row[supervised])
        ],
    }


def _preference(figures: dict[str, Any]) -> float:
    return figures["preference_accuracy"] or 0.0


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"topics": len(rows), "passed": sum(row["verdict"] == PASSED for row in rows)}
    for stage in MEANS:
        scored = [row[stage] for row in rows if row[stage]]
        found[stage] = {name: _mean(item[name] for item in scored) for name in HEADLINES}
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is a number; a figure that was not finite is no number here."""
    numbers = [value for value in values if value is not None]
    return round(sum(numbers) / len(numbers), 4) if numbers else None


def _rolled_up(rows: Sequence[dict[str, Any]], parts: int) -> dict[str, Any]:
    """Means by the first `parts` parts of the topic id: 1 for units, 2 for chapters."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups["/".join(row["topic"].split("/")[:parts])].append(row)
    return {name: _means(group) for name, group in groups.items()}


def of_what_ran(said: e.Predicted, records: Sequence[Record]) -> float:
    """What a prediction comes to when DPO counts for the topics alone in which it began."""
    topics = next(len(r.event.topics) for r in records if isinstance(r.event, e.CurriculumLoaded))
    began = {r.event.topic for r in records if isinstance(r.event, e.PhaseStarted) and r.event.phase in PREFERENCE}
    return said.least + (said.seconds - said.least) * len(began) / topics
