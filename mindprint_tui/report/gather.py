"""Collects the contents of a report from a journal: state, checks and details of chosen topics."""

from dataclasses import dataclass, field
from typing import TypeGuard

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.judge_file import Judgement, read_judgement, went_on
from engine.contract.journal.live import rewinds
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import VERDICTS
from mindprint_tui.journal.feed import Feed, Liveness, answer_or_start
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.loss_curve import Series
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean_event
from mindprint_tui.journal.step_batch import Stretch, live
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.report.checks import RunFacts
from mindprint_tui.view.pages.samples import Question, questions
from mindprint_tui.votes.vote_file import Votes, read_votes

DETAILED = 40  # the most topics that are shown with curves and answers
QUESTIONS = 8  # the most questions per topic
READ = 1.0  # seconds of reading between two folds
URGENT = [name for name, row in reversed(VERDICTS.items()) if not row.success]


@dataclass(slots=True)
class PhaseDetail:
    """One phase of a topic's latest attempt."""

    planned: e.PhaseStarted
    loss: Series
    last: e.Step | None = None
    held: dict[int, e.Validated] = field(default_factory=dict)  # by step
    kept: e.StepKept | None = None
    adapter: e.AdapterChanged | None = None
    settled: e.AdapterChanged | None = None


@dataclass(slots=True)
class TopicDetail:
    """A topic's latest attempt. `more` is the number of questions that are not shown."""

    attempt: int = 0
    phases: dict[e.Phase, PhaseDetail] = field(default_factory=dict)
    decisions: list[e.Decided] = field(default_factory=list)
    failures: list[e.Failed] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True, slots=True)
class ReportContents:
    """Everything that a report shows. `details` are in course order."""

    name: str
    state: RunState
    tally: RunFacts
    details: dict[str, TopicDetail]
    liveness: Liveness
    damaged: int = 0  # lines of the journal that could not be read
    votes: Votes = field(default_factory=Votes)
    judged: Judgement = field(default_factory=Judgement)
    judged_before: bool = False  # whether the run went on after the judge


def gather(run: RunDir) -> ReportContents:
    """Collects everything that a report shows.

    Reads the journal several times. So memory depends on the size of the report and not on the length of the run.
    """
    feed, ahead, state, tally = Feed(run), rewinds(run.journal), RunState(), RunFacts()
    for records in feed.rest(lambda: feed.skim(READ)):
        state = fold(state, records)
        tally.take(live(records, ahead))
    details = {topic: TopicDetail() for topic in chosen(state.topics)}
    current: PhaseDetail | None = None
    feed, ahead = Feed(run), rewinds(run.journal)
    for records in feed.rest(lambda: feed.skim(READ)):
        for record in live(records, ahead):
            current = _detail(details, current, record)
    _add_questions(run, details)
    judged, live_now = read_judgement(run), feed.liveness()
    older = went_on(judged, run)
    return ReportContents(run.name, state, tally, details, live_now, feed.damaged, read_votes(run), judged, older)


def chosen(topics: dict[str, TopicState]) -> list[str]:
    """Returns the topics to show in full, in course order: all, or the most urgent ones.

    First come topics that did not pass, then running ones, then those with a phase that was not kept, then the
    earliest.
    """
    if len(topics) <= DETAILED:
        return list(topics)

    def urgency(topic: TopicState) -> int:
        if topic.verdict in URGENT:
            return URGENT.index(topic.verdict)
        return 3 if topic.status == "running" else 4 if topic.undone else 5 if topic.status == "finished" else 6

    first = set(sorted(topics, key=lambda id: urgency(topics[id]))[:DETAILED])
    return [id for id in topics if id in first]


def _detail(
    details: dict[str, TopicDetail], current: PhaseDetail | None, record: Record | Stretch
) -> PhaseDetail | None:
    """Adds one record to the details and returns the current phase.

    `current` is the phase that the next steps belong to, or None if its topic is not shown.
    """
    if isinstance(record, Stretch):
        _steps(current, record.last, record.points)
        return current
    event = record.event
    match event:
        case e.Step():
            _steps(current, event, [(record.seq, event.step, event.loss)])
        case e.Validated(topic=topic, phase=phase) if _is(current, topic, phase):
            current.held[event.step] = event
        case e.StepKept(topic=topic, phase=phase) if _is(current, topic, phase):
            current.kept = event
        case e.TopicStarted(topic=topic, attempt=attempt) if topic in details:
            if details[topic].attempt != attempt:  # a resumed engine repeats this event, and the phases stay
                details[topic] = TopicDetail(attempt)
        case e.PhaseStarted(topic=topic, phase=phase):
            begun = details.get(topic)
            resumed = begun.phases.get(phase) if begun else None
            if begun is None:
                return None
            if resumed is not None and resumed.settled is None:
                return resumed  # a resumed engine repeats the event of the phase it continues
            current = begun.phases[phase] = PhaseDetail(event, Series(max(1, event.steps)))
        case e.AdapterChanged(topic=topic, phase=phase) if topic in details:
            if (found := details[topic].phases.get(phase)) is not None:
                found.adapter = event if event.state == "attached" else found.adapter
                found.settled = event if event.state != "attached" else None
        case e.Decided(topic=topic) if topic in details:
            details[topic].decisions.append(event)
        case e.Failed(topic=str() as topic) if topic in details:
            details[topic].failures.append(event)
        case _:
            pass
    return current


def _is(current: PhaseDetail | None, topic: str, phase: e.Phase) -> TypeGuard[PhaseDetail]:
    return current is not None and (current.planned.topic, current.planned.phase) == (topic, phase)


def _steps(current: PhaseDetail | None, last: e.Step, points: list[tuple[int, int, float]]) -> None:
    if _is(current, last.topic, last.phase):
        current.loss, current.last = current.loss.add(points), last


def _add_questions(run: RunDir, details: dict[str, TopicDetail]) -> None:
    found: dict[str, list[e.Sample | e.TopicStarted]] = {topic: [] for topic in details}
    tail = Tail(run.journal)
    while lines := tail.lines():
        for line in lines:
            if (event := answer_or_start(line)) and event.topic in found:
                found[event.topic].append(event)
    for topic, told in found.items():
        asked = questions(clean_event(event) for event in told)
        details[topic].questions, details[topic].more = asked[:QUESTIONS], max(0, len(asked) - QUESTIONS)
