"""What a journal says has been done, so that a run goes on where it was; a fold over its live records."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.contract.journal import events as e
from engine.contract.journal.events import KEPT, AdapterChanged, EngineDied, Evaluated, Event, Record, TopicFinished
from engine.contract.names import new_delta
from engine.contract.vocabulary import BASE, PREFERENCE, STAGES


@dataclass(slots=True)
class TopicHistory:
    """One attempt at a topic: its evaluations by stage, and the phases that are settled (`kept` or `rolled_back`)."""

    attempt: int
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    seq: int = 0  # where it began
    tries: int = 1  # this attempt and those before it that the run itself repeated
    again: bool = False  # whether it was decided that another attempt follows
    failed: str | None = None  # why, where a phase failed: that ends it, whatever the engine lived to do about it
    seconds: float = 0.0  # that engines have worked on it


@dataclass(slots=True)
class History:
    """The whole run so far. `current` is the topic that was begun and not finished, `again` one that is to be repeated.

    `paused` and `stopping` are what a person had asked for and the engine died before it ended: they count for the
    engine that a supervisor starts instead (`died`), and not where a person resumes the run.
    """

    began: bool = False
    started: float | None = None  # unix seconds
    base: str | None = None  # fingerprint of the base model
    model: str | None = None  # and of the model as the last commit or roll-back left it
    committed: set[tuple[str, str]] = field(default_factory=set)  # (topic, phase) of the deltas that are in it
    revisions: dict[str, str] = field(default_factory=dict)  # model of a hub -> commit that the run began on
    settings: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)  # topic -> digest of its rows; empty where none was journaled
    before: dict[str, Evaluated] = field(default_factory=dict)
    finished: dict[str, TopicFinished] = field(default_factory=dict)
    current: str | None = None
    again: str | None = None
    topics: dict[str, TopicHistory] = field(default_factory=dict)
    dpo_rolled_back: int = 0  # topics in a row
    seconds: float = 0.0  # with an engine at work on it
    waited: float = 0.0  # of these, while a person had it paused
    answered: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)  # topics that a person wants skipped, and that have not come up yet
    retries: list[str] = field(default_factory=list)  # topics that wait for a retry, which a skip takes back
    died: EngineDied | None = None  # the death that this engine follows
    out_of_memory: int = 0  # deaths for lack of memory
    paused: str | None = None  # by whom
    stopping: bool = False
    damaged: int = 0  # lines that could not be read


def read_history(records: Iterable[Record]) -> History:
    """Folds the live records of a journal; later attempts at a topic replace earlier ones."""
    folded = HistoryFold()
    for record in records:
        folded.take(record)
    return folded.history


class HistoryFold:
    """A history that grows record by record."""

    def __init__(self) -> None:
        self.history = History()
        self._last: Record | None = None
        self._waits = False  # whether a person has the run paused

    def take(self, record: Record) -> None:
        """Takes in the next live record."""
        history, last = self.history, self._last
        if last is not None and not _ended(last.event) and not _begins(record.event):
            worked = max(0.0, record.t - last.t)  # a clock that was set back takes no work away
            history.seconds += worked
            history.waited += worked if self._waits else 0.0
            if history.current is not None:
                history.topics[history.current].seconds += worked
        self._last = record
        self._waits = isinstance(record.event, e.Paused) or (
            self._waits and not isinstance(record.event, e.Resumed | e.EngineRestarted)
        )
        _fold(history, record)


def _ended(event: Event) -> bool:
    """Whether no engine is at work after this."""
    return isinstance(event, e.RunFinished | e.EngineDied) or (isinstance(event, e.Failed) and event.topic is None)


def _begins(event: Event) -> bool:
    """Whether no engine was at work before this, or nobody knows for how long."""
    refusal = isinstance(event, e.Failed) and event.where == "input"
    return refusal or isinstance(event, e.EngineDied | e.EngineRestarted)


def landmarks(records: Iterable[Record]) -> int:
    """How far a run has come: checkpoints, evaluations, settled phases and finished topics, each counted once.

    What is done again after a death counts nothing, so that the number grows only where the run gets further.
    """
    attempts: dict[str, int] = {}
    seen: set[tuple[Any, ...]] = set()
    saved: dict[tuple[Any, ...], int] = {}  # the furthest checkpoint of each phase
    checkpoints = 0
    for record in records:
        match record.event:
            case e.TopicStarted(topic=topic, attempt=attempt):
                attempts[topic] = attempt
            case e.Checkpointed(topic=topic, phase=phase, step=step):
                place = topic, attempts.get(topic), phase
                if step > saved.get(place, -1):
                    saved[place] = step
                    checkpoints += 1
            case e.Evaluated(topic=topic, stage=stage) if not STAGES[stage].repeated:
                seen.add((topic, attempts.get(topic), stage))
            case e.AdapterChanged(topic=topic, phase=phase, state=state) if state != "attached":
                seen.add((topic, attempts.get(topic), phase, "settled"))
            case e.TopicFinished(topic=topic):
                seen.add((topic, attempts.get(topic), "finished"))
            case _:
                pass
    return len(seen) + checkpoints


def _fold(history: History, record: Record) -> None:
    match record.event:
        case e.RunStarted(settings=settings):
            history.began, history.settings, history.started = True, settings, record.t
        case e.CurriculumLoaded(rows=rows):
            history.rows = history.rows or rows
        case e.ModelLoaded(model=model, fingerprint=fingerprint, revision=revision):
            history.base = history.base or fingerprint
            if revision:
                history.revisions.setdefault(model, revision)
        case e.EngineDied(reason=reason) as died:
            history.died = died
            history.out_of_memory += reason == e.OUT_OF_MEMORY
        case e.EngineRestarted(status=None, signal=None) | e.RunFinished() | e.Failed(where="engine"):
            # a person goes on with it, or has to: a supervisor that gave up starts nothing
            history.died, history.paused, history.stopping = None, None, False
        case e.EngineRestarted():  # what was asked holds until this engine, which may die as it loads, has done it
            history.died = None
        case e.Paused(by=by):
            history.paused = by
        case e.Resumed():
            history.paused = None
        case e.TopicStarted(topic=topic, attempt=attempt):
            earlier, tries, seconds = history.topics.get(topic), 1, 0.0
            if earlier is not None and earlier.attempt == attempt:  # a death makes the same attempt begin once more
                tries, seconds = earlier.tries, earlier.seconds
            elif earlier is not None and history.again == topic:
                tries = earlier.tries + 1
            history.current, history.again = topic, None
            history.topics[topic] = TopicHistory(attempt, seq=record.seq, tries=tries, seconds=seconds)
            history.finished.pop(topic, None)
            history.retries = [id for id in history.retries if id != topic]
        case e.Decided(topic=topic, decision="retry"):
            _topic(history, topic).again = True
        case e.Failed(topic=str() as topic, phase=str(), message=message) if topic == history.current:
            history.topics[topic].failed = history.topics[topic].failed or message
        case e.Evaluated(topic=topic, stage=stage) as evaluated:
            if stage == BASE:
                history.before[topic] = evaluated
            elif not STAGES[stage].repeated and topic == history.current:
                history.topics[topic].evaluated[stage] = evaluated
        case e.AdapterChanged(state=state) as changed if state != "attached":
            _settle(history, changed)
        case e.TopicFinished(topic=topic) as finished:
            history.finished[topic], known = finished, _topic(history, topic)
            owed = known.again and finished.verdict not in e.SETTLED
            history.current, history.again, known.again = None, topic if owed else None, False
            history.skipped.discard(topic)
            history.retries = [topic] * owed + [id for id in history.retries if id != topic]
        case e.CommandTaken(id=id, outcome="refused"):
            history.answered.add(id)
        case e.CommandTaken(id=id, command=command, topic=topic):
            history.answered.add(id)
            if command == "stop":
                history.stopping = True
            elif command == "pause":
                history.paused = "a person"  # an engine that lived on says next who it was
            elif command == "resume":
                history.paused = None
            elif command == "skip" and topic in history.retries:
                history.retries.remove(topic)
                history.again = None if topic == history.again else history.again
            elif command == "skip" and topic is not None:
                history.skipped.add(topic)
            elif command == "retry" and topic is not None and topic not in history.retries:
                history.retries.append(topic)
        case e.Unknown(damaged=True):
            history.damaged += 1
        case _:
            pass


def _settle(history: History, changed: e.AdapterChanged) -> None:
    """A phase was committed, rolled back or taken off, or what it had committed was dropped."""
    topic, phase, kept = changed.topic, changed.phase, changed.state in e.KEPT
    attempt = _topic(history, topic)
    history.model = changed.model_fingerprint
    (history.committed.add if kept else history.committed.discard)((topic, phase))
    attempt.settled[phase] = "kept" if kept else "rolled_back"
    if changed.state == "rolled_back" and topic != history.current:
        history.finished.pop(topic, None)  # it was dropped to be trained again, and cannot be left as it was
        history.retries = [id for id in history.retries if id != topic]
    elif phase in PREFERENCE and kept:
        history.dpo_rolled_back = 0
    elif phase in PREFERENCE and phase in attempt.evaluated and not attempt.failed:  # a skip says nothing of DPO
        history.dpo_rolled_back += changed.state == "rolled_back"


def _topic(history: History, topic: str) -> TopicHistory:
    """What is known of a topic; a journal may have lost the line that began it."""
    return history.topics.setdefault(topic, TopicHistory(1))


def commits(events: Iterable[Event], topic: str | None = None) -> dict[str, AdapterChanged]:
    """The commits in the model by the names of their deltas, in order: at the end, or after a topic's last one.

    What a retry took out later was in the model until then. A line that is damaged leaves its commit out, and shifts
    the names of those after it; the fingerprint that the last one states tells.
    """
    standing: dict[str, AdapterChanged] = {}
    asked: dict[str, AdapterChanged] = {}
    made = 0
    for event in events:
        if not isinstance(event, AdapterChanged):
            continue
        if event.state in KEPT:
            made += 1
            standing[new_delta(made, event.topic, event.phase)] = event
            asked = dict(standing) if event.topic == topic else asked
        elif event.state == "rolled_back":
            gone = (event.topic, event.phase)
            standing = {name: each for name, each in standing.items() if (each.topic, each.phase) != gone}
    return standing if topic is None else asked
