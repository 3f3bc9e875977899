"""The user's choices and open requests in this console: screen state outside the journal."""

from dataclasses import dataclass, replace
from typing import Literal

from msgspec import structs

from engine.contract.journal import events as e
from mindprint_tui.journal.run_state import Answer, RunState

TOPICS, LOSS, ADAPTER, VOICE, LOG = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A command that this console wrote. Its answer comes in the journal under the same id."""

    id: str
    kind: str
    topic: str | None
    t: float
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Focus:
    """The user's choices on the train screen.

    `topic` is the topic under the cursor, None while the cursor follows the run. `scroll` counts lines up in the log,
    and lines down in other panes.
    """

    topic: str | None = None
    pane: int = TOPICS
    scroll: int = 0
    log_scale: bool = False
    curve: int | None = None  # number of the phase in the loss pane; None: the latest
    filter: str = ""
    typing: bool = False  # the user is typing the filter
    asking: Literal["", "stop", "skip"] = ""  # the action that the user must confirm
    doubted: str | None = None  # the topic that the user wants to skip
    seen: int = 0  # number of failures when the user dismissed the banner
    asked: tuple[OpenRequest, ...] = ()
    note: str = ""
    note_t: float = 0.0
    progress: float = 1.0  # share of the journal that was read
    damaged: int = 0  # lines of the journal that could not be read
    opened: float = 0.0  # when this console opened
    past: int = -1  # number of the last record from before the engine that this console started


def selected(state: RunState, focus: Focus) -> str | None:
    """Returns the topic for panes and keys: under the cursor, else running, else the latest."""
    if focus.topic is not None and focus.topic in state.topics:
        return focus.topic
    return running(state) or next(iter(state.topics), None)


def running(state: RunState) -> str | None:
    """Returns the running topic or the latest one.

    None if there is none, or if a damaged journal names an unknown topic.
    """
    topic = state.current or (state.phase.topic if state.phase else None)
    return topic if topic in state.topics else None


def with_answers(state: RunState, focus: Focus) -> Focus:
    """Returns the focus with the answers that have arrived. They are kept here because the state drops old ones."""
    answered = (replace(asked, answer=asked.answer or state.answers.get(asked.id)) for asked in focus.asked)
    return replace(focus, asked=tuple(answered))


def waiting(focus: Focus) -> tuple[OpenRequest, ...]:
    """Returns the commands that have no answer yet."""
    return tuple(asked for asked in focus.asked if asked.answer is None)


def starting(state: RunState, focus: Focus) -> bool:
    """Returns True if the engine that this console started has not written an event yet."""
    return state.seq <= focus.past


def state_to_show(state: RunState, focus: Focus) -> RunState:
    """Returns the state to show.

    While an engine that was started here is starting, the end of the previous engine is hidden.
    """
    if state.seq < 0 or not starting(state, focus):
        return state
    return structs.replace(
        state, finished=None, fatal=None, died=None, paused=None, stopping=False, preparing="starting the engine"
    )


def failures(state: RunState, focus: Focus) -> list[e.Failed]:
    """Returns at most two failures that the user has not dismissed.

    The one that ended the run comes first, then broken rules, then others; the latest come first.
    """
    new = [failed for number, failed in reversed(state.failures) if number >= focus.seen]
    new = [failed for failed in new if failed.topic is not None or failed is state.fatal]
    return sorted(new, key=lambda failed: (failed is not state.fatal, not failed.rule))[:2]
