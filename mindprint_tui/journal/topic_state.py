"""State of a topic and of one of its phases, for the current or latest attempt."""

from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Step
from engine.contract.vocabulary import (
    ADAPTER_STATES,
    BASE,
    FOUNDATION,
    PHASES,
    PREFERENCE,
    START,
    AdapterState,
    Phase,
    Stage,
    last_kept,
)
from mindprint_tui.journal.loss_curve import Series
from mindprint_tui.journal.rule_counts import RuleCounts
from mindprint_tui.journal.sanitize import one_line

Status = Literal["pending", "running", "finished"]


def removed_by_retry(event: e.AdapterChanged) -> bool:
    """Returns True if the event is a retry that removes a committed delta from the model.

    Such an event rolls back no phase, because no adapter was attached.
    """
    return event.state == "rolled_back" and event.base_unchanged is None and not event.expected_trainable


class PhaseRun(Struct, frozen=True):
    """One phase of one attempt at a topic."""

    topic: str
    phase: Phase
    steps: int
    rows: int
    supervised_tokens: int
    total_tokens: int
    loss: Series
    attempt: int = 1
    number: int = 0  # number of phases before it in the run
    replayed: int = 0  # rows of earlier topics among `rows`
    first: float | None = None  # the loss of step 1
    last: Step | None = None
    saved: Step | None = None  # the last step before the latest checkpoint
    held: tuple[tuple[int, e.Validated], ...] = ()  # the validations, each with its seq, in the order of their steps
    kept: e.StepKept | None = None  # the step that was chosen
    adapter: e.AdapterChanged | None = None
    rules: RuleCounts = field(default_factory=dict)  # rule checks in this phase

    @property
    def best(self) -> e.Validated | None:
        """The best validation so far."""
        return next((found for _, found in reversed(self.held) if found.best), None)


class TopicState(Struct, frozen=True):
    """A topic with its scores by stage and its settled adapter states by phase.

    Both belong to the current attempt, except the score `before`, which all attempts share.
    """

    info: e.TopicInfo
    status: Status = "pending"
    attempt: int = 1
    owed: bool = False  # the run has decided on another attempt after this one has its verdict
    again: bool = False  # finished, and waits for another attempt
    unwanted: bool = False  # a user asked to skip it, and it has not started yet
    scores: dict[Stage, e.Evaluated] = field(default_factory=dict)
    settled: dict[Phase, AdapterState] = field(default_factory=dict)  # adapter state when it came off
    verdict: e.Verdict | None = None
    reason: str = ""
    held_to: dict[str, Any] | None = None  # the thresholds used for its verdict
    seconds: float = 0.0
    worked: float = 0.0  # the same, without pauses

    @property
    def counted(self) -> bool:
        """True for a topic of the course. The foundation is in no count and no mean."""
        return self.info.id != FOUNDATION

    @property
    def standing(self) -> Status:
        """Status as the engine counts it when it judges a request: a topic that waits for a retry is pending."""
        return "pending" if self.again else self.status

    @property
    def kept(self) -> Phase | None:
        """The last phase that is in the model. DPO on a shared adapter includes SFT."""
        return last_kept(self.settled)

    @property
    def preference(self) -> Phase | None:
        """The preference phase that ran, if any."""
        return next((phase for phase in PREFERENCE if phase in self.scores or phase in self.settled), None)

    @property
    def at_end(self) -> e.Evaluated | None:
        """Scores of the model that the topic itself leaves behind: of the kept phase, else of the start."""
        if self.kept is not None:
            return self.scores.get(self.kept)
        return self.scores.get(START) or self.scores.get(BASE)

    @property
    def undone(self) -> dict[str, str]:
        """The phases that ran but are not in the model, each with a short reason.

        If a shared adapter comes off in DPO, SFT goes with it. That SFT phase was scored, but it has no settled state.
        """
        if self.kept in PREFERENCE:
            return {}
        ran = {*self.settled, *(self.scores if self.status == "finished" else ())}
        lost = [phase for phase in PHASES if phase in ran and phase != self.kept]
        return {p: ADAPTER_STATES[self.settled[p]].label if p in self.settled else "not kept" for p in lost}


def titled(info: e.TopicInfo) -> e.TopicInfo:
    """Returns the topic with titles on one line, because every view shows them on one line."""
    title, unit, chapter = map(one_line, (info.title, info.unit_title, info.chapter_title))
    return replace(info, title=title, unit_title=unit, chapter_title=chapter)
