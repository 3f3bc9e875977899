"""What this console looks at and has asked for: everything on the screen that the journal does not say."""

from dataclasses import dataclass

from mindprint_tui.state import RunState

TOPICS, LOSS, ADAPTER, VOICE, LOG = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that this console wrote; the journal has its answer under the same id, sooner or later."""

    id: str
    kind: str
    topic: str | None
    t: float


@dataclass(frozen=True, slots=True)
class Focus:
    """`topic` is where the cursor is, None while it follows the run; `scroll` is lines up (log) or down (others)."""

    topic: str | None = None
    pane: int = TOPICS
    scroll: int = 0
    log_scale: bool = False
    back: int = 0  # phases before the latest one that the loss pane shows
    filter: str = ""
    typing: bool = False  # the filter is being typed
    asking: bool = False  # whether the run should really be stopped
    seen: int = 0  # failures that a person has put away
    asked: tuple[Asked, ...] = ()
    note: str = ""
    note_t: float = 0.0
    progress: float = 1.0  # of reading the journal
    opened: float = 0.0  # when this console began to look


def selected(state: RunState, focus: Focus) -> str | None:
    """The topic that panes and keys are about: the cursor's, the running one, or the last that ran."""
    if focus.topic is not None and focus.topic in state.topics:
        return focus.topic
    return running(state) or next(iter(state.topics), None)


def running(state: RunState) -> str | None:
    """The topic that runs, or ran last; a damaged journal may name one that there is not."""
    topic = state.current or (state.phase.topic if state.phase else None)
    return topic if topic in state.topics else None


def waiting(state: RunState, focus: Focus) -> tuple[Asked, ...]:
    """Commands that have no answer yet."""
    return tuple(asked for asked in focus.asked if asked.id not in state.answers)
