"""Rows of metrics from a journal, live or afterwards, for `mindprint-tui metrics`."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.live import rewinds
from engine.contract.vocabulary import ADAPTER_STATES, SCORES, STAGES
from mindprint_tui.journal.feed import Feed

TICK = 0.5  # seconds between two reads of a journal that is still written
STEP = tuple(name for name in e.Step.__struct_fields__ if name not in ("topic", "phase", "step", "of"))
HEAD = ("seq", "time", "kind", "topic", "topic_index", "attempt", "phase", "stage", "step", "of", "run_step")
COUNTS = ("loops", "void")  # answers that repeat themselves (loops), and answers without content (void)
ENDS = tuple(f"{name}_{end}" for name in ("voice", "style", "closeness", "relevance") for end in ("low", "high"))
HELD = ("loss", "score")  # of a validation, as heldout_loss and heldout_score
COLUMNS = tuple(
    dict.fromkeys(
        (*HEAD, *STEP, *SCORES, *ENDS, "questions", *COUNTS, "health", "verdict", *(f"heldout_{name}" for name in HELD))
    )
)
Row = dict[str, Any]


class Sink(Protocol):
    """A destination for rows."""

    def begin(self, run: str, settings: dict[str, Any]) -> None: ...
    def write(self, rows: Iterable[Row]) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Rows:
    """Turns records into rows: one for each step, validation, evaluation and verdict.

    `run_step` counts the optimizer steps of the run. `components` of an evaluation are the voice's marker groups. With
    `patient`, the rows of a phase wait until the phase is settled. An evaluation that a restart repeated then comes out
    once. The caller passes live records, so that void steps never come out. Without `patient`, rows come at once and
    may be repeated.
    """

    patient: bool
    _topics: dict[str, int] = field(default_factory=dict)
    _attempts: dict[str, int] = field(default_factory=dict)
    _settled: int = 0  # optimizer steps of finished phases
    _open: list[int] = field(default_factory=list)  # the seq of each step of the current phase
    _waiting: list[Row] = field(default_factory=list)

    def take(self, record: Record) -> list[Row]:
        """Returns the rows that are ready after this record, in order."""
        event = record.event
        match event:
            case e.CurriculumLoaded():
                self._topics.update({info.id: place for place, info in enumerate(event.topics, 1)})
            case e.TopicStarted():
                self._attempts[event.topic] = event.attempt
            case e.Step():
                self._open.append(record.seq)
                row = self._row(record, "step", event.topic) | {
                    "phase": event.phase,
                    "step": event.step,
                    "of": event.of,
                }
                self._waiting.append(row | {name: getattr(event, name) for name in STEP})
            case e.Validated():
                row = self._row(record, "validated", event.topic) | {"phase": event.phase, "step": event.step}
                self._waiting.append(row | {f"heldout_{name}": getattr(event, name) for name in HELD})
            case e.Evaluated():
                row = self._row(record, "evaluated", event.topic) | {"stage": event.stage, "health": event.health}
                row |= {name: getattr(event, name) for name in SCORES} | _sure(event)
                self._waiting.append(row | {"seconds": event.seconds, "components": event.components})
            case e.TopicFinished():
                row = self._row(record, "finished", event.topic)
                self._waiting.append(row | {"verdict": event.verdict, "seconds": event.seconds})
            case e.Restored():
                self._open = [seq for seq in self._open if seq <= event.rewind_to]
            case _:
                pass
        settled = isinstance(event, e.TopicFinished) or (
            isinstance(event, e.AdapterChanged) and ADAPTER_STATES[event.state].settled
        )
        if settled:
            self._settled, self._open = self._settled + len(self._open), []
        return self.rest() if settled or not self.patient else []

    def rest(self) -> list[Row]:
        """Returns the rows that still wait, for use at the end of a journal.

        If a restarted engine repeated an evaluation, only the later one is returned. A re-evaluation is a separate
        evaluation.
        """
        ready, self._waiting = self._waiting, []
        last = {_evaluation(row): row["seq"] for row in ready}
        return [row for row in ready if row["seq"] == last[_evaluation(row)]]

    def _row(self, record: Record, kind: str, topic: str) -> Row:
        place, attempt = self._topics.get(topic), self._attempts.get(topic, 1)
        head = {"seq": record.seq, "time": record.t, "kind": kind, "topic": topic}
        return head | {"topic_index": place, "attempt": attempt, "run_step": self._settled + len(self._open)}


def _sure(event: e.Evaluated) -> Row:
    """Returns the ends of the 90 % intervals and the counts of answers.

    The values are None for an engine without the learned style.
    """
    ends = {
        f"{n}_{end}": value
        for n, pair in event.intervals.items()
        for end, value in zip(("low", "high"), pair, strict=True)
    }
    counts = {name: getattr(event, name) if event.learned else None for name in COUNTS}
    return {name: ends.get(name) for name in ENDS} | {"questions": event.questions} | counts


def _evaluation(row: Row) -> tuple[Any, ...]:
    """Returns a key that is equal for two rows of the same evaluation. Every other row has its own key."""
    once = row["kind"] == "evaluated" and not STAGES[row["stage"]].repeated
    return (row["topic"], row["attempt"], row["stage"]) if once else (row["seq"],)


def write_metrics(feed: Feed, sink: Sink, follow: bool) -> None:
    """Reads a journal into a sink. With `follow`, continues until its engine has ended."""
    rows, begun, ahead = Rows(patient=not follow), False, None if follow else rewinds(feed.run.journal)
    try:
        for records in _batches(feed, follow):
            for record in records:
                if not begun:  # usually RunStarted; missing if that line is damaged
                    started = record.event if isinstance(record.event, e.RunStarted) else None
                    sink.begin(*(started.run, started.settings) if started else (feed.run.name, {}))
                    begun = True
                sink.write(rows.take(ahead.live(record) if ahead is not None else record))
        sink.write(rows.rest())
    finally:
        sink.close()


def _batches(feed: Feed, follow: bool) -> Iterator[list[Record]]:
    while True:
        alive = feed.alive()  # asked before the read, so that the last events of an engine are still read
        yield from feed.rest(feed.read)
        if not (follow and alive):
            return
        time.sleep(TICK)
