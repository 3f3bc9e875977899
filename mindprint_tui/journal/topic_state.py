"""What is known of a topic and of a phase of it, of the attempt that is under way or ran last."""

from typing import Any, Literal

from msgspec import Struct, field

from engine.contract.journal import events as e
from engine.contract.journal.events import Step
from engine.contract.vocabulary import (
    ADAPTER_STATES,
    BASE,
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

Status = Literal["pending", "running", "finished"]


def dropped(event: e.AdapterChanged) -> bool:
    """Whether a retry takes a committed delta out of the model: no phase is rolled back then, and no adapter was on."""
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
    number: int = 0  # phases before it in the run
    first: float | None = None  # the loss of step 1
    last: Step | None = None
    saved: Step | None = None  # the last one before the latest checkpoint
    adapter: e.AdapterChanged | None = None
    rules: RuleCounts = field(default_factory=dict)  # that were checked in it


class TopicState(Struct, frozen=True):
    """A topic and what came of it; `scores` by stage and `settled` by phase are of this attempt, but for `before`."""

    info: e.TopicInfo
    status: Status = "pending"
    attempt: int = 1
    owed: bool = False  # whether the run has decided on another attempt, once this one has its verdict
    again: bool = False  # finished, and waits for another attempt
    unwanted: bool = False  # a person asked to skip it, and it has not come up
    scores: dict[Stage, e.Evaluated] = field(default_factory=dict)
    settled: dict[Phase, AdapterState] = field(default_factory=dict)  # the last state of its adapter, once it is off
    verdict: e.Verdict | None = None
    reason: str = ""
    held_to: dict[str, Any] | None = None  # the thresholds of its verdict
    seconds: float = 0.0
    worked: float = 0.0  # of these, without pauses

    @property
    def standing(self) -> Status:
        """Its status as the engine counts it when it judges a request: what waits for its retry is pending."""
        return "pending" if self.again else self.status

    @property
    def kept(self) -> Phase | None:
        """The last phase that is in the model; DPO on a shared adapter has SFT inside."""
        return last_kept(self.settled)

    @property
    def preference(self) -> Phase | None:
        """The preference phase that ran."""
        return next((phase for phase in PREFERENCE if phase in self.scores or phase in self.settled), None)

    @property
    def final(self) -> e.Evaluated | None:
        """The scores of the model that the topic leaves behind: of what was kept, else as it began."""
        if self.kept is not None:
            return self.scores.get(self.kept)
        return self.scores.get(START) or self.scores.get(BASE)

    @property
    def undone(self) -> dict[str, str]:
        """The phases that ran and are not in the model, each with a word for why.

        A shared adapter that comes off in DPO takes SFT with it, which was scored and never settled by itself.
        """
        if self.kept in PREFERENCE:
            return {}
        ran = {*self.settled, *(self.scores if self.status == "finished" else ())}
        lost = [phase for phase in PHASES if phase in ran and phase != self.kept]
        return {p: ADAPTER_STATES[self.settled[p]].label if p in self.settled else "not kept" for p in lost}
