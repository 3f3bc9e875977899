"""Builds summary.json from a journal: results per topic, chapter and unit.

It is a pure function of the records.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from engine.contract.journal import events as e
from engine.contract.journal.events import Evaluated, Record
from engine.contract.journal.live import changes_model
from engine.contract.vocabulary import (
    BASE,
    FIGURES,
    FINAL,
    FOUNDATION,
    HEADLINES,
    PASSED,
    PHASES,
    PREFERENCE,
    STAGES,
    START,
    SUPERVISED,
    UNDECIDED,
    VERDICTS,
    Phase,
    last_kept,
)
from engine.runtime.history import HistoryFold

MEANS = (*(row.summary for row in STAGES.values() if not row.repeated), "at_end")


def summarize(
    records: Iterable[Record], exit_status: int, fingerprint: str, seconds: float, process_bytes: int | None = None
) -> dict[str, Any]:
    """Returns the summary of live records; raises ValueError if the journal has no run_started.

    A stage that was not run is null. A topic without a verdict is `not_run`. `at_end` of a topic is the evaluation of
    its last kept phase: after DPO or after SFT. If no phase was kept, it is the one at the topic's start, or before.
    `final` is the final exam's, null if the run has not got that far; `exam` is its result. `foundation` is null if the
    run has none; it is in no count and no mean.
    """
    run = _Figures()
    for record in records:
        run.take(record)
    started, rows = run.started, [row for id, row in run.topics.items() if id != FOUNDATION]
    if started is None:
        raise ValueError("the journal has no run_started")
    return {
        "run": started.run,
        "config": started.config,
        "seed": started.seed,
        "versions": started.versions,
        "exit_status": exit_status,
        "fingerprint": fingerprint,
        "seconds": round(seconds, 1),
        "prediction": _prediction(run, seconds, process_bytes, all(map(_came_up, run.topics.values()))),
        "passed": sum(row["verdict"] == PASSED for row in rows),
        "undecided": sum(row["verdict"] == UNDECIDED for row in rows),
        "of": len(rows),
        "not_in_model": {row["topic"]: _outside(row) for row in rows if last_kept_phase(row) is None},
        "exam": _exam(run),
        "rows": run.rows,
        "overhead": {"checkpoint_seconds": run.checkpoint_seconds, "check_seconds": run.check_seconds},
        **{phase: _preference_phase(rows, phase) for phase in PREFERENCE},
        "mean": _means(rows),
        "units": _rolled_up(rows, 1),
        "chapters": _rolled_up(rows, 2),
        "foundation": run.topics.get(FOUNDATION),
        "topics": rows,
    }


class _Figures:
    """The figures for the summary, gathered in one pass, so that a journal may be of any length."""

    def __init__(self) -> None:
        self.started: e.RunStarted | None = None
        self.topics: dict[str, dict[str, Any]] = {}
        self.predicted: list[e.Predicted] = []
        self.listed: int | None = None  # topics of the course
        self.preferred: set[str] = set()  # topics in which a preference phase began
        self.peak_bytes: int | None = None  # the highest of any step
        self.checkpoint_seconds: float = 0  # over all processes of the run, as the next
        self.check_seconds: float = 0
        self.examined: e.Examined | None = None  # None again once the model has changed
        self._in_exam = False  # a topic has a final score of the present model
        self.rows: dict[str, int] | None = None  # read, used, and left out, by the audit
        self._history = HistoryFold()

    @property
    def waited(self) -> float:
        """Seconds for which a person had paused the run."""
        return self._history.history.waited

    def take(self, record: Record) -> None:
        self._history.take(record)
        _fold(self.topics, record)
        event = record.event.event if isinstance(record.event, e.Void) else record.event
        if self._in_exam and changes_model(event):
            self.examined, self._in_exam = None, False
            for row in self.topics.values():
                row["final"], row["forgotten"] = None, None
        match event:
            case e.Evaluated(stage="final"):
                self._in_exam = True
            case e.Examined():
                self.examined, self._in_exam = event, True
                for topic, row in self.topics.items():
                    row["forgotten"] = topic in event.forgotten
            case e.Step(peak_bytes=peak):
                self.peak_bytes = peak if self.peak_bytes is None else max(self.peak_bytes, peak)
            case e.RunStarted():
                self.started = self.started or event
            case e.Predicted():
                self.predicted.append(event)
            case e.CurriculumLoaded(topics=topics):
                self.listed = sum(info.id != FOUNDATION for info in topics) if self.listed is None else self.listed
            case e.Audited():
                names = ("rows_read", "rows_used", "orphans", "duplicates", "unusable", "not_trained")
                self.rows = {name.removeprefix("rows_"): getattr(event, name) for name in names}
            case e.PhaseStarted(topic=topic, phase=phase) if phase in PREFERENCE:
                self.preferred.add(topic)
            case e.Checkpointed(seconds=seconds) if math.isfinite(seconds):  # a damaged line must not make the sum NaN
                self.checkpoint_seconds += seconds
            case e.AdapterChanged(check_seconds=seconds) if math.isfinite(seconds):
                self.check_seconds += seconds
            case _:
                pass


def _exam(run: _Figures) -> dict[str, Any] | None:
    """Returns the result of the final exam: changes since the topics' own ends, forgotten topics, language kept.

    `answers` of the `compared` topics, those in the model, are paired by question. It is null if there was no exam.
    """
    examined = run.examined
    if examined is None:
        return None
    changes = {}
    for name, (mean, low, high) in examined.changes.items():
        interval = None if low is None or high is None else [_rounded(low), _rounded(high)]
        changes[name] = {"mean": _rounded(mean), "interval": interval}
    first, last = (next((row[key] for row in run.topics.values() if row[key]), None) for key in (BASE, FINAL))
    return {
        "topics": examined.topics,
        "compared": examined.compared,
        "answers": examined.answers,
        "final_minus_then": changes,
        "forgotten": list(examined.forgotten),
        "language_loss": last and last["language_loss"],
        "language_loss_of_base": first and first["language_loss"],
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _prediction(run: _Figures, seconds: float, process_bytes: int | None, whole: bool) -> dict[str, Any]:
    """Returns the predicted and the real seconds, both without pauses.

    `of_what_ran` is the prediction at the start, with DPO only in the topics in which it ran. It is null if the run is
    not `whole`, because topics were left out. `ratio` is `of_what_ran` / `real`.
    """
    at_start, refined = (run.predicted[place] if len(run.predicted) > place else None for place in (0, 1))
    real = seconds - run.waited
    ran = predicted_seconds(at_start, run.preferred, run.listed) if at_start and whole and run.listed else None
    return {
        "of_what_ran": round(ran, 1) if ran is not None else None,
        "at_start": round(at_start.seconds, 1) if at_start else None,
        "at_start_least": round(at_start.least, 1) if at_start else None,
        "after_first_topic": round(refined.seconds, 1) if refined else None,
        "real": round(real, 1),
        "paused": round(run.waited, 1),
        "ratio": round(ran / real, 3) if ran is not None and real > 0 else None,
        "peak_bytes": run.peak_bytes,
        "process_bytes": process_bytes,
    }


def predicted_seconds(said: e.Predicted, preferred: Collection[str], topics: int) -> float:
    """Returns the predicted seconds if DPO counts only for the `preferred` ones of all `topics`."""
    return said.least + (said.seconds - said.least) * len(preferred) / topics


def _came_up(row: dict[str, Any]) -> bool:
    """Tells whether a topic was begun and has a verdict; false if it was skipped or the run stopped before it."""
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
                row["at_end"] = _at_end(row)
        case e.Decided(topic=topic) as decided:
            topics[topic]["decisions"].append({"decision": decided.decision, "reason": decided.reason})
        case e.TopicFinished(topic=topic) as finished:
            row = topics[topic]
            seconds = round(finished.seconds, 1) if math.isfinite(finished.seconds) else None
            if finished.kept and seconds is not None:
                seconds = round(seconds + (row["seconds"] or 0), 1)
            row |= {"verdict": finished.verdict, "reason": finished.reason, "seconds": seconds}
            row["at_end"] = _at_end(row)
        case _:
            pass


def _row(info: e.TopicInfo | None) -> dict[str, Any]:
    row: dict[str, Any] = {"topic": info.id, "title": info.title} if info else {}
    row |= {"verdict": "not_run", "reason": None, "seconds": None, "attempts": 0} | dict.fromkeys(PHASES)
    row |= dict.fromkeys(stage.summary for stage in STAGES.values()) | {
        "at_end": None,
        "forgotten": None,
        "decisions": [],
    }
    return row


def _figures(evaluated: Evaluated) -> dict[str, Any]:
    figures = {name: getattr(evaluated, name) for name in FIGURES}
    rounded = {  # JSON lacks NaN and infinity; the reason of the decision states them
        name: None if value is None or not math.isfinite(value) else round(value, 4) for name, value in figures.items()
    }
    found = rounded | {"health": evaluated.health, "cut": evaluated.cut, "model": evaluated.model_fingerprint}
    return found | _sure(evaluated) if evaluated.learned else found


def _sure(evaluated: Evaluated) -> dict[str, Any]:
    """Returns the 90 % intervals of the learned scores, and the number of answers behind them."""
    ends = {name: list(ends) for name, ends in evaluated.intervals.items() if all(map(math.isfinite, ends))}
    intervals = {name: [round(end, 4) for end in found] for name, found in ends.items()}
    return {"answers": evaluated.questions, "loops": evaluated.loops, "void": evaluated.void, "intervals": intervals}


def last_kept_phase(row: dict[str, Any]) -> Phase | None:
    """Returns the last phase of a topic that is in the model."""
    return last_kept({phase: row[phase] for phase in PHASES})


def _outside(row: dict[str, Any]) -> str:
    """Returns why nothing of a topic is in the model: its verdict, and the reason for it."""
    word = row["verdict"]
    label = VERDICTS[word].label if word in VERDICTS else "not run"
    return f"{label}: {row['reason']}" if row["reason"] else label


def _at_end(row: dict[str, Any]) -> dict[str, Any] | None:
    last = last_kept_phase(row)
    found = row[STAGES[last].summary] if last else row[START] or row[BASE]
    return dict(found) if found else None


def _preference_phase(rows: Iterable[dict[str, Any]], phase: Phase) -> dict[str, Any]:
    """Returns a preference phase's results: topics, roll-backs, the mean held-out margin.

    `lowered_preference_accuracy` lists the topics in which preference accuracy fell.
    """
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
    """Returns the mean of the numbers; a None (a figure that was not finite) is left out."""
    numbers = [value for value in values if value is not None]
    return round(sum(numbers) / len(numbers), 4) if numbers else None


def _rolled_up(rows: Sequence[dict[str, Any]], parts: int) -> dict[str, Any]:
    """Returns means by the first `parts` parts of the topic id: 1 for units, 2 for chapters."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups["/".join(row["topic"].split("/")[:parts])].append(row)
    return {name: _means(group) for name, group in groups.items()}
