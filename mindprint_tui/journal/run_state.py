"""State of a run after some of its events, as immutable values."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from engine.contract.exit_codes import STOPPED
from engine.contract.journal import events as e
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.rule_counts import RuleCounts
from mindprint_tui.journal.topic_state import PhaseRun, TopicState, titled
from mindprint_tui.journal.work_time import WorkTime

Condition = Literal["alive", "paused", "stopped", "finished", "refused", "died"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in the log. `count` is how often it occurred."""

    t: float
    event: e.Event
    count: int = 1


class Answer(NamedTuple):
    """The engine's answer to a request, and when it came."""

    t: float
    outcome: Literal["done", "refused"]
    reason: str


class Failure(NamedTuple):
    """A failure, and the number of failures before it."""

    number: int
    event: e.Failed


class RunState(Struct, frozen=True):
    """State of a run, built from its journal. Containers never change after a fold has returned them.

    It is a Struct because `replace` then copies it six times as fast as a dataclass.
    """

    seq: int = -1
    t: float = 0.0
    began: float = 0.0
    work: WorkTime = field(default_factory=WorkTime)
    spent: WorkTime = field(default_factory=WorkTime)  # the same, with pauses
    started: e.RunStarted | None = None
    preparing: str = ""
    predicted: float | None = None  # predicted seconds of the whole run
    scorer: e.ScorerFitted | None = None
    model: e.ModelLoaded | None = None
    topics: dict[str, TopicState] = field(default_factory=dict)
    tally: dict[str, int] = field(default_factory=dict)  # verdict -> topics
    current: str | None = None
    current_began: float = 0.0  # seconds of work before the current topic
    phases: tuple[PhaseRun, ...] = ()
    adapter: e.AdapterChanged | None = None
    fuse: e.AdapterChanged | None = None
    paused: e.Paused | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    rules: RuleCounts = field(default_factory=dict)  # rule checks; empty for an older engine
    failures: tuple[Failure, ...] = ()
    failed: int = 0  # number of all failures
    broken: int = 0  # number of failures that are broken rules
    fatal: e.Failed | None = None  # the failure that ended the run; None again when an engine resumes it
    topics_over: float = 0.0  # seconds of work before the latest verdict
    in_exam: bool = False  # the final exam has scored a topic
    examined: e.Examined | None = None  # its result; None again once the model changes
    stopping: bool = False  # the engine has accepted a stop command
    died: e.EngineDied | None = None
    restarts: int = 0
    finished: e.RunFinished | None = None

    @property
    def course(self) -> list[TopicState]:
        """The topics of the course in order, without the foundation."""
        return [topic for topic in self.topics.values() if topic.counted]

    def topic(self, id: str) -> TopicState:
        """Returns a topic, or a new one if the journal has not listed it."""
        return self.topics.get(id) or TopicState(titled(e.TopicInfo(id, id, 0, 0, 0)))

    @property
    def phase(self) -> PhaseRun | None:
        """The running phase, or the latest one."""
        return self.phases[-1] if self.phases else None

    def settings(self, section: str) -> dict[str, Any]:
        """Returns a section of the effective configuration, or an empty dict if the journal has none."""
        found = self.started.settings.get(section) if self.started else None
        return found if isinstance(found, dict) else {}

    def phase_of(self, topic: str | None) -> PhaseRun | None:
        """Returns the latest phase if it belongs to the current attempt at this topic, else None."""
        run = self.phase
        if run is None or topic is None or run.topic != topic:
            return None
        return run if run.attempt == self.topic(topic).attempt else None


def condition(state: RunState, live: Liveness) -> Condition:
    """Returns what a run is doing, or how it ended."""
    if live.word != "gone":
        return "paused" if state.paused else "alive"
    if state.finished is not None:
        return "stopped" if state.finished.exit_status == STOPPED else "finished"
    return "refused" if state.fatal is not None and state.fatal.where == "input" else "died"


def rules_broken(state: RunState) -> int:
    """Returns how often a rule broke.

    Failures and counts should agree. If the line of a failure is damaged, the counts are larger.
    """
    return max(state.broken, sum(count.broken for count in state.rules.values()))
