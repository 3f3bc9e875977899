"""What this console looks at and has asked for: everything on the screen that the journal does not say."""

from dataclasses import dataclass, replace
from typing import Literal

from msgspec import structs

from engine.contract.journal import events as e
from mindprint_tui.journal.run_state import Answer, RunState

TOPICS, LOSS, ADAPTER, VOICE, LOG = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that this console wrote; the journal has its answer under the same id, sooner or later."""

    id: str
    kind: str
    topic: str | None
    t: float
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Focus:
    """`topic` is where the cursor is, None while it follows the run; `scroll` is lines up (log) or down (others)."""

    topic: str | None = None
    pane: int = TOPICS
    scroll: int = 0
    log_scale: bool = False
    curve: int | None = None  # the number of the phase that the loss pane shows, None: the latest
    filter: str = ""
    typing: bool = False  # the filter is being typed
    asking: Literal["", "stop", "skip"] = ""  # the question that is open: whether that is really wanted
    doubted: str | None = None  # the topic that a skip was asked for
    seen: int = 0  # failures that there were when a person put them away
    asked: tuple[Asked, ...] = ()
    note: str = ""
    note_t: float = 0.0
    progress: float = 1.0  # of reading the journal
    opened: float = 0.0  # when this console began to look
    past: int = -1  # the last record that is older than the engine which this console started


def selected(state: RunState, focus: Focus) -> str | None:
    """The topic that panes and keys are about: the cursor's, the running one, or the last that ran."""
    if focus.topic is not None and focus.topic in state.topics:
        return focus.topic
    return running(state) or next(iter(state.topics), None)


def running(state: RunState) -> str | None:
    """The topic that runs, or ran last; a damaged journal may name one that there is not."""
    topic = state.current or (state.phase.topic if state.phase else None)
    return topic if topic in state.topics else None


def heard(state: RunState, focus: Focus) -> Focus:
    """With the answers that have come. They are kept here, since the state forgets them."""
    answered = (replace(asked, answer=asked.answer or state.answers.get(asked.id)) for asked in focus.asked)
    return replace(focus, asked=tuple(answered))


def waiting(focus: Focus) -> tuple[Asked, ...]:
    """Commands that have no answer yet."""
    return tuple(asked for asked in focus.asked if asked.answer is None)


def starting(state: RunState, focus: Focus) -> bool:
    """Whether the engine that is looked at has not said a word yet."""
    return state.seq <= focus.past


def taken_up(state: RunState, focus: Focus) -> RunState:
    """The state to show: while an engine that was started here is starting, how the one before it ended is over."""
    if state.seq < 0 or not starting(state, focus):
        return state
    return structs.replace(
        state, finished=None, fatal=None, died=None, paused=None, stopping=False, preparing="starting the engine"
    )


def failures(state: RunState, focus: Focus) -> list[e.Failed]:
    """Two that a person has not put away: what ended the run, then broken rules, then others, the latest first."""
    new = [failed for number, failed in reversed(state.failures) if number >= focus.seen]
    new = [failed for failed in new if failed.topic is not None or failed is state.fatal]
    return sorted(new, key=lambda failed: (failed is not state.fatal, not failed.rule))[:2]
