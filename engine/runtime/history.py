"""The history of a run, folded from the live records of its journal, so that it resumes where it was."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.contract.journal import events as e
from engine.contract.journal.events import KEPT, AdapterChanged, EngineDied, Evaluated, Event, Record, TopicFinished
from engine.contract.journal.live import changes_model
from engine.contract.names import new_delta
from engine.contract.vocabulary import BASE, FINAL, PREFERENCE, STAGES, Phase
from engine.runtime.set_aside import SetAside


@dataclass(slots=True)
class TopicHistory:
    """One attempt at a topic: its evaluations by stage, and its settled phases (`kept` or `rolled_back`)."""

    attempt: int
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    seq: int = 0  # of the event that began it
    tries: int = 1  # this attempt and the earlier ones that the run itself repeated
    again: bool = False  # whether another attempt was decided
    failed: str | None = None  # why a phase failed, if one did: it is over, even if the engine died right after
    seconds: float = 0.0  # engine time spent on it


@dataclass(slots=True)
class History:
    """The whole run up to now. `current` is the topic begun but not finished; `again` is the topic to repeat.

    `paused` and `stopping` are requests that the engine died before fulfilling. They hold for the engine that a
    supervisor starts next (`died`). They do not hold if a person resumes the run.
    """

    began: bool = False
    started: float | None = None  # unix seconds
    base: str | None = None  # fingerprint of the base model
    model: str | None = None  # fingerprint of the model after the last commit or roll-back
    committed: set[tuple[str, str]] = field(default_factory=set)  # (topic, phase) of the deltas in the model
    revisions: dict[str, str] = field(default_factory=dict)  # hub model -> commit that the run began on
    settings: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)  # topic -> digest of its rows; empty if none was journaled
    before: dict[str, Evaluated] = field(default_factory=dict)
    final: dict[str, Evaluated] = field(default_factory=dict)  # of the latest exam; the model may have changed since
    examined: e.Examined | None = None  # the result of the latest exam
    finished: dict[str, TopicFinished] = field(default_factory=dict)
    current: str | None = None
    again: str | None = None
    topics: dict[str, TopicHistory] = field(default_factory=dict)
    dpo_rolled_back: int = 0  # topics in a row
    seconds: float = 0.0  # engine time spent on the run
    waited: float = 0.0  # of these, the time for which a person paused it
    answered: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)  # topics that a person wants skipped, and that have not come up yet
    retries: list[str] = field(default_factory=list)  # topics that wait for a retry; a skip removes one
    set_aside: SetAside = field(default_factory=SetAside)  # rolled-back adapters that can be kept
    keeps: list[tuple[str, Phase]] = field(default_factory=list)  # rolled-back phases that a person wants kept
    died: EngineDied | None = None  # the death that this engine follows
    out_of_memory: int = 0  # deaths for lack of memory
    paused: str | None = None  # by whom
    stopping: bool = False
    damaged: int = 0  # lines that could not be read


LONGEST = 3600.0  # seconds of work between two events; more is a clock that was set, or a machine that slept


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
        self._waits = False  # whether a person has paused the run

    def take(self, record: Record) -> None:
        """Adds the next live record."""
        history, last = self.history, self._last
        if last is not None and not _ended(last.event) and not _begins(record.event):
            worked = max(0.0, record.t - last.t)  # a clock that was set back must not reduce it
            worked = worked if self._waits else min(worked, LONGEST)  # nor one that was set forward increase it
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
    """Tells whether no engine is at work after this event."""
    return isinstance(event, e.RunFinished | e.EngineDied) or (isinstance(event, e.Failed) and event.topic is None)


def _begins(event: Event) -> bool:
    """Tells whether no engine was at work before this event, or for an unknown time."""
    refusal = isinstance(event, e.Failed) and event.where == "input"
    return refusal or isinstance(event, e.EngineDied | e.EngineRestarted)


def landmarks(records: Iterable[Record]) -> int:
    """Counts a run's progress: checkpoints, evaluations, settled phases and finished topics, each once.

    Work repeated after a death does not count, so the number grows only if the run gets further.
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
                seen.add((topic, attempts.get(topic), phase, "kept" if state in KEPT else "settled"))
            case e.TopicFinished(topic=topic):
                seen.add((topic, attempts.get(topic), "finished"))
            case _:
                pass
    return len(seen) + checkpoints


def _fold(history: History, record: Record) -> None:
    if changes_model(record.event):
        history.final = {}
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
            # a person resumes the run, or must: a supervisor that gave up starts nothing
            history.died, history.paused, history.stopping = None, None, False
        case e.EngineRestarted():  # requests hold until an engine fulfils them; this one may die while it loads
            history.died = None
        case e.Paused(by=by):
            history.paused = by
        case e.Resumed():
            history.paused = None
        case e.TopicStarted(topic=topic, attempt=attempt):
            earlier, tries, seconds = history.topics.get(topic), 1, 0.0
            if earlier is not None and earlier.attempt == attempt:  # after a death the same attempt begins again
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
        case e.Failed(topic=str() as topic, phase=str() as phase) if topic != history.current:
            history.keeps = [asked for asked in history.keeps if asked != (topic, phase)]  # it could not be kept
        case e.Evaluated(topic=topic, stage=stage) as evaluated:
            if stage == BASE:
                history.before[topic] = evaluated
            elif stage == FINAL:
                history.final[topic] = evaluated
            elif not STAGES[stage].repeated and topic == history.current:
                history.topics[topic].evaluated[stage] = evaluated
        case e.AdapterChanged(state=state) as changed if state != "attached":
            _end_phase(history, changed)
        case e.TopicFinished(topic=topic, kept=str() as phase) as finished:
            history.finished[topic] = finished
            history.keeps = [asked for asked in history.keeps if asked != (topic, phase)]
        case e.TopicFinished(topic=topic) as finished:
            history.finished[topic], known = finished, _topic(history, topic)
            owed = known.again and finished.verdict not in e.SETTLED
            history.current, history.again, known.again = None, topic if owed else None, False
            history.skipped.discard(topic)
            history.retries = [topic] * owed + [id for id in history.retries if id != topic]
        case e.Examined() as examined:
            history.examined = examined
        case e.CommandTaken(id=id, outcome="refused"):
            history.answered.add(id)
        case e.CommandTaken(id=id, command=command, topic=topic, phase=phase):
            history.answered.add(id)
            if command == "stop":
                history.stopping = True
            elif command == "pause":
                history.paused = "a person"  # if the engine lives on, its Paused event says who
            elif command == "resume":
                history.paused = None
            elif command == "keep" and topic is not None and phase is not None:
                history.keeps.append((topic, phase))
                history.set_aside.renew(topic, phase)
                _take_back_retry(history, topic)
            elif command == "skip" and topic is not None and topic in history.retries:
                _take_back_retry(history, topic)
            elif command == "skip" and topic is not None:
                history.skipped.add(topic)
            elif command == "retry" and topic is not None and topic not in history.retries:
                history.retries.append(topic)
        case e.Unknown(damaged=True):
            history.damaged += 1
        case _:
            pass


def _take_back_retry(history: History, topic: str) -> None:
    history.retries = [id for id in history.retries if id != topic]
    history.again = None if topic == history.again else history.again


def _end_phase(history: History, changed: e.AdapterChanged) -> None:
    """Records that a phase was committed, rolled back or detached, or that its commit was dropped."""
    topic, phase, kept = changed.topic, changed.phase, changed.state in e.KEPT
    attempt = _topic(history, topic)
    history.model = changed.model_fingerprint
    history.set_aside.take(changed)
    (history.committed.add if kept else history.committed.discard)((topic, phase))
    attempt.settled[phase] = "kept" if kept else "rolled_back"
    if changed.state == "rolled_back" and topic != history.current:
        history.finished.pop(topic, None)  # its commit was dropped for a retry, so its result no longer holds
        history.retries = [id for id in history.retries if id != topic]
    elif phase in PREFERENCE and kept:
        history.dpo_rolled_back = 0
    elif phase in PREFERENCE and phase in attempt.evaluated and not attempt.failed:  # a skip says nothing about DPO
        history.dpo_rolled_back += changed.state == "rolled_back"


def _topic(history: History, topic: str) -> TopicHistory:
    """Returns the history of a topic; adds an empty one if the journal lost the line that began it."""
    return history.topics.setdefault(topic, TopicHistory(1))


def commits(events: Iterable[Event], topic: str | None = None, phase: Phase | None = None) -> dict[str, AdapterChanged]:
    """Returns the commits in the model by delta name, in order: at the end, or after the last one of `topic`.

    With `phase`, after the last one of that phase.

    With `topic`, commits that a retry removed later are included. A damaged line drops its commit and shifts the names
    of those after it. The fingerprint in the last commit shows that.
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
            asked = dict(standing) if event.topic == topic and phase in (None, event.phase) else asked
        elif event.state == "rolled_back":
            gone = (event.topic, event.phase)
            standing = {name: each for name, each in standing.items() if (each.topic, each.phase) != gone}
    return standing if topic is None else asked
