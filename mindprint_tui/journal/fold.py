"""Adds events of a journal to the state of a run: fold(state, records).

Needs no Textual and no clock.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Record, Step
from engine.contract.journal.live import changes_model
from engine.contract.vocabulary import BASE, FINAL
from mindprint_tui.journal.loss_curve import Series
from mindprint_tui.journal.rule_counts import added
from mindprint_tui.journal.run_state import Answer, Entry, Failure, RunState
from mindprint_tui.journal.step_batch import Point, Stretch
from mindprint_tui.journal.topic_state import PhaseRun, TopicState, titled
from mindprint_tui.journal.work_time import CLOCKED, WorkTime

HELD = 1000  # validations that are kept of a phase
PHASES = 64  # the number of latest curves that are kept
ENTRIES = 500  # log entries that are kept
ANSWERS = 1000  # answers to commands that are kept, more than one read of the journal brings
FAILURES = 50
PLACE = re.compile(r"^.{1,200}?:\d+: ")  # the file and line at the start of a warning
TAKEN = ("retry", "skip", "keep")  # commands that ask for a topic's retry or take it back
QUIET = (
    *(Step, e.Validated, e.Sample, e.RulesChecked, e.Checkpointed),
    *(e.PhaseStarted, e.CurriculumLoaded, e.Audited, e.Unknown),
)


def fold(state: RunState, records: Iterable[Record | Stretch]) -> RunState:
    """Returns the state with these records added.

    The result does not depend on how records are cut into batches, or steps into stretches. Containers are copied once
    per batch, and only if the batch has an event other than a step.
    """
    last: Record | Stretch | None = None
    own = False
    for record in records:
        if not state.began:
            state = replace(state, began=record.t, work=WorkTime(0.0, record.t), spent=WorkTime(0.0, record.t))
        if isinstance(record, Stretch):
            state = _steps(state, record.last, record.points)
        else:
            state, own = (state if own else _copied(state)), True
            state = _take(state, record, state.t if last is None else last.t)
        last = record
    return state if last is None else replace(state, seq=last.seq, t=last.t)


def _copied(state: RunState) -> RunState:
    """Returns a state with copied containers, so that one fold may change them in place."""
    topics, tally, answers = dict(state.topics), dict(state.tally), dict(state.answers)
    return replace(state, topics=topics, tally=tally, answers=answers, log=list(state.log))


def _steps(state: RunState, last: Step, points: list[Point]) -> RunState:
    """Returns the state with steps of one phase added, in order.

    A step without its phase_started event opens the phase.
    """
    run = state.phase_of(last.topic)
    if run is None or run.phase != last.phase:
        run = _phase_run(state, e.PhaseStarted(last.topic, last.phase, last.of, 0, 0, 0))
        state = replace(state, phases=(*state.phases[-PHASES + 1 :], run))
    first = next((loss for _, step, loss in reversed(points) if step == 1), run.first)
    run = replace(run, loss=run.loss.add(points), first=first, last=last)
    return replace(state, phases=(*state.phases[:-1], run))


def _validated(state: RunState, seq: int, event: e.Validated | e.StepKept) -> RunState:
    """Returns the state with a validation of the running phase added, or with the step that it keeps."""
    run = state.phase_of(event.topic)
    if run is None or run.phase != event.phase:
        return state
    if isinstance(event, e.StepKept):
        run = replace(run, kept=event)
    else:  # a resumed engine repeats a validation
        earlier = tuple(item for item in run.held if item[1].step < event.step)
        run = replace(run, held=(*earlier[-HELD + 1 :], (seq, event)))
    return replace(state, phases=(*state.phases[:-1], run))


def _phase_run(state: RunState, event: e.PhaseStarted) -> PhaseRun:
    curve, attempt = Series(max(1, event.steps)), state.topic(event.topic).attempt
    tokens = event.supervised_tokens, event.total_tokens
    number = state.phase.number + 1 if state.phase else 0
    return PhaseRun(event.topic, event.phase, event.steps, event.rows, *tokens, curve, attempt, number, event.replayed)


def _take(state: RunState, record: Record, last: float) -> RunState:
    """Returns the state with one record added. `last` is the time of the record before it.

    The containers of `state` may be changed in place.
    """
    event = record.event
    if state.in_exam and changes_model(event):
        state = _unexamined(state)
    match event:
        case Step():
            state = _steps(state, event, [(record.seq, event.step, event.loss)])
            if not math.isfinite(event.loss):
                _note(state, record)
        case e.RunStarted():  # not always the first event: an engine may have died before it
            state = _taken_up(replace(state, started=event))
        case e.Preparing():
            state = replace(state, preparing=event.message)
        case e.ModelLoaded():
            state = replace(state, model=event, preparing="loading what scores the answers")
        case e.CurriculumLoaded():
            state.topics.update(
                {info.id: TopicState(titled(info)) for info in event.topics if info.id not in state.topics}
            )
        case e.ScorerFitted():
            state = replace(state, scorer=event)
        case e.Predicted():
            state = replace(state, predicted=event.seconds)
        case e.TopicStarted():
            old = state.topic(event.topic)
            scores = {BASE: before} if (before := old.scores.get(BASE)) else {}
            _count(state, event.topic, None)
            state.topics[event.topic] = TopicState(old.info, "running", event.attempt, scores=scores)
            said = (state.current, old.attempt) == (event.topic, event.attempt)  # a resumed engine repeats this event
            began = state.current_began if said else state.work.at(record.t)
            state = replace(state, current=event.topic, current_began=began, preparing="")
        case e.PhaseStarted():
            state = replace(state, phases=(*state.phases[-PHASES + 1 :], _phase_run(state, event)), preparing="")
        case e.Validated() | e.StepKept():
            state = _validated(state, record.seq, event)
        case e.AdapterChanged():
            state = _adapter(state, event)
        case e.RulesChecked():
            state = _rules(state, event)
        case e.Evaluated():
            _change(state, event.topic, scores={**state.topic(event.topic).scores, event.stage: event})
            state = replace(state, in_exam=True) if event.stage == FINAL and not state.in_exam else state
        case e.Examined():
            state = replace(state, examined=event, in_exam=True, preparing="")
        case e.Decided(decision="retry"):
            _change(state, event.topic, owed=True)
        case e.TopicFinished():
            _count(state, event.topic, event.verdict)
            known, seconds = state.current == event.topic, event.seconds
            worked = state.work.at(record.t) - state.current_began if known else seconds
            if event.kept:
                seconds, worked = (
                    seconds + state.topic(event.topic).seconds,
                    worked + state.topic(event.topic).worked,
                )
            repeats = state.topic(event.topic).owed and event.verdict not in e.SETTLED
            ended = {"status": "finished", "owed": False, "again": repeats, "unwanted": False, "reason": event.reason}
            _change(state, event.topic, **ended, held_to=state.settings("thresholds"), seconds=seconds, worked=worked)
            over = state.work.at(record.t)
            state = replace(state, current=None if known else state.current, topics_over=over)
        case e.CommandTaken():
            state.answers[event.id] = Answer(record.t, event.outcome, event.reason)
            if event.outcome == "done" and event.topic in state.topics and event.command in TAKEN:
                skip, pending = event.command == "skip", state.topics[event.topic].status == "pending"
                _change(state, event.topic, again=event.command == "retry", unwanted=skip and pending)
            if len(state.answers) > ANSWERS:
                del state.answers[next(iter(state.answers))]
            if (event.command, event.outcome) == ("stop", "done"):
                state = replace(state, stopping=True)
        case e.Paused():
            state = replace(state, paused=event)
        case e.Resumed():
            state = replace(state, paused=None)
        case e.Checkpointed() if state.phases:
            run = replace(state.phases[-1], saved=state.phases[-1].last)
            state = replace(state, phases=(*state.phases[:-1], run))
        case e.Restored():
            if state.current is not None:
                _change(state, state.current, owed=False)  # the engine decides this again
            state = _rewound(replace(state, preparing=""), event.rewind_to)
        case e.Failed():
            state = _failed(state, event)
        case e.EngineDied():
            state = replace(state, died=event, paused=None)
        case e.EngineRestarted():
            current = state.current or next(
                (id for id, topic in state.topics.items() if topic.status == "running"), None
            )
            started = state.started
            if started is not None and event.settings:
                started = replace(started, settings=event.settings)
            by_hand = (event.status, event.signal) == (None, None)  # a user restarted the run: the stop is over
            state = replace(state, started=started, current=current, stopping=state.stopping and not by_hand)
            state = _taken_up(state)
        case e.RunFinished():
            state = replace(state, finished=event, paused=None, stopping=False, current=None, preparing="")
        case _:
            pass
    if isinstance(event, CLOCKED):
        pauses = isinstance(event, (e.Paused, e.Resumed))
        spent = state.spent if pauses else state.spent.after(record, last)
        state = replace(state, work=state.work.after(record, last), spent=spent)
    if not isinstance(event, QUIET):
        _note(state, record)
    return state


def _taken_up(state: RunState) -> RunState:
    """Returns the state for an engine that works again.

    It counts as a restart only if the previous engine had died, not if a user resumes the run.
    """
    restarts = state.restarts + (state.died is not None)
    return replace(state, died=None, finished=None, fatal=None, paused=None, restarts=restarts)


def _unexamined(state: RunState) -> RunState:
    """Returns the state without a final exam, because a topic is trained again after it."""
    for id, topic in state.topics.items():
        if FINAL in topic.scores:
            scores = {stage: score for stage, score in topic.scores.items() if stage != FINAL}
            state.topics[id] = replace(topic, scores=scores)
    return replace(state, in_exam=False, examined=None)


def _failed(state: RunState, event: e.Failed) -> RunState:
    """Returns the state with one more failure.

    If there are too many, the oldest failure without a broken rule is dropped first.
    """
    failures = (*state.failures, Failure(state.failed, event))
    if len(failures) > FAILURES:
        oldest = next((place for place, old in enumerate(failures[:-1]) if not old.event.rule), 0)
        failures = failures[:oldest] + failures[oldest + 1 :]
    state = replace(state, failures=failures, failed=state.failed + 1, broken=state.broken + bool(event.rule))
    return state if event.topic is not None else replace(state, fatal=event, stopping=False)


def _change(state: RunState, topic: str, **changes: Any) -> None:
    state.topics[topic] = replace(state.topic(topic), **changes)


def _count(state: RunState, topic: str, verdict: e.Verdict | None) -> None:
    """Sets or clears the verdict of a topic and updates the tally."""
    old = state.topic(topic)
    for word, change in ((old.verdict, -1), (verdict, 1)):
        if word is not None and old.counted:
            state.tally[word] = state.tally.get(word, 0) + change
    _change(state, topic, verdict=verdict)


def _adapter(state: RunState, event: e.AdapterChanged) -> RunState:
    if event.state in e.KEPT:
        state = replace(state, fuse=event)
    if event.state != "attached":
        _change(state, event.topic, settled={**state.topic(event.topic).settled, event.phase: event.state})
    run = state.phase
    if run is not None and (run.topic, run.phase) == (event.topic, event.phase):
        state = replace(state, phases=(*state.phases[:-1], replace(run, adapter=event)))
    return replace(state, adapter=event)


def _rules(state: RunState, event: e.RulesChecked) -> RunState:
    """Returns the state with the rule counts added, for the run and for the phase of the event."""
    run = state.phase
    if run is not None and (run.topic, run.phase) == (event.topic, event.phase):
        state = replace(state, phases=(*state.phases[:-1], replace(run, rules=added(run.rules, event))))
    return replace(state, rules=added(state.rules, event))


def _rewound(state: RunState, seq: int) -> RunState:
    """Returns the state without the steps of the current phase after `seq`: they are trained again."""
    run = state.phase
    if run is None:
        return state
    loss = run.loss.until(seq)
    last = run.last if loss == run.loss else run.saved if loss.buckets else None
    held = tuple(item for item in run.held if item[0] <= seq)
    run = replace(run, loss=loss, last=last, held=held, kept=None)
    return replace(state, phases=(*state.phases[:-1], run))


def _note(state: RunState, record: Record) -> None:
    """Adds an event to the log.

    A repeated warning, even about another row, is counted and moves to the end. A progress message replaces the
    progress message before it.
    """
    event, count = record.event, 1
    if isinstance(event, e.Preparing) and event.progress and state.log:
        last = state.log[-1].event
        if isinstance(last, e.Preparing) and last.progress:
            del state.log[-1]
    if isinstance(event, e.Evaluated) and event.stage in (BASE, FINAL):
        return
    if isinstance(event, e.Warned):
        for place, entry in enumerate(state.log):
            old = entry.event
            if isinstance(old, e.Warned) and (old.key, _said(old)) == (event.key, _said(event)):
                count = entry.count + 1
                del state.log[place]
                break
    state.log.append(Entry(record.t, event, count))
    if len(state.log) > ENTRIES:
        del state.log[0]


def _said(event: e.Warned) -> str:
    """Returns a warning without its file and line, so that warnings about many rows count as one."""
    return PLACE.sub("", event.message)
