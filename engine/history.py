"""What a journal says has been done, so that a run goes on where it was; a pure fold over records."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.contract import events as e
from engine.contract.events import Evaluated, Record, TopicFinished


@dataclass(slots=True)
class TopicHistory:
    """One attempt at a topic: its evaluations by stage, and the phases that are settled (`kept` or `rolled_back`)."""

    attempt: int
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    seq: int = 0  # where its latest phase began


@dataclass(slots=True)
class History:
    """The whole run so far. `current` is the topic that was begun and not finished."""

    before: dict[str, Evaluated] = field(default_factory=dict)
    finished: dict[str, TopicFinished] = field(default_factory=dict)
    current: str | None = None
    topics: dict[str, TopicHistory] = field(default_factory=dict)
    dpo_rolled_back: int = 0  # topics in a row
    seconds: float = 0.0
    answered: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)  # topics that a person wants skipped, and that have not come up yet
    retries: list[str] = field(default_factory=list)  # topics that a person wants trained again, and that wait for it


def read_history(records: Iterable[Record]) -> History:
    """Folds a journal; later attempts at a topic replace earlier ones."""
    history, first = History(), None
    for record in records:
        first = record.t if first is None else first
        history.seconds = record.t - first
        _fold(history, record)
    return history


def _fold(history: History, record: Record) -> None:
    match record.event:
        case e.TopicStarted(topic=topic, attempt=attempt):
            history.current = topic
            history.topics[topic] = TopicHistory(attempt, seq=record.seq)
            history.finished.pop(topic, None)
            history.retries = [id for id in history.retries if id != topic]
        case e.PhaseStarted(topic=topic):
            history.topics[topic].seq = record.seq
        case e.Evaluated(topic=topic, stage=stage) as evaluated:
            if stage == "before":
                history.before[topic] = evaluated
            elif stage != "reevaluated" and topic == history.current:
                history.topics[topic].evaluated[stage] = evaluated
        case e.AdapterChanged(topic=topic, phase=phase, state=state) if state != "attached":
            settled = "kept" if state in ("fused", "kept_attached") else "rolled_back"
            history.topics[topic].settled[phase] = settled
            if phase == "dpo" and settled == "kept":
                history.dpo_rolled_back = 0
            elif phase == "dpo" and "dpo" in history.topics[topic].evaluated:  # not where an error or a skip ended it
                history.dpo_rolled_back += state == "rolled_back"
        case e.TopicFinished(topic=topic) as finished:
            history.finished[topic] = finished
            history.current = None
            history.skipped.discard(topic)
            history.retries = [id for id in history.retries if id != topic]
        case e.CommandTaken(id=id, outcome="refused"):
            history.answered.add(id)
        case e.CommandTaken(id=id, command=command, topic=topic):
            history.answered.add(id)
            if command == "skip" and topic is not None:
                history.skipped.add(topic)
            elif command == "retry" and topic is not None:
                history.retries.append(topic)
        case _:
            pass
