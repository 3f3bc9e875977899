"""The footer with its keys, and the reasons why a key does nothing now."""

from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.keys import Key
from mindprint_tui.view.focus import Focus, selected, starting, waiting
from mindprint_tui.view.text import Line, Span

Hit = tuple[int, int, str]  # first cell, cell after the last, action
FIRST = ("help", "detach", "stop", "back")  # kept in a narrow footer


def why_disabled(action: str, state: RunState, live: Liveness, focus: Focus) -> str:
    """Returns the reason why an action is impossible now, or an empty text if it is possible."""
    chosen = selected(state, focus)
    topic = state.topics.get(chosen or "")
    if action in ("pause", "skip", "reevaluate", "retry", "keep", "stop"):
        if state.finished is not None:
            return "the run is over"
        if focus.progress < 1.0:
            return "the journal is still being read"
        if live.word == "gone":
            return "no engine is there yet" if starting(state, focus) else "the engine is gone"
        kind = "resume" if action == "pause" and state.paused is not None else action
        if any((asked.kind, asked.topic or chosen) == (kind, chosen) for asked in waiting(focus)):
            return "asked already; the engine has not answered yet"
    if action in ("skip", "reevaluate", "retry", "keep", "samples") and topic is None:
        return "there is no topic yet"
    if topic is not None:
        if action == "skip" and topic.standing == "finished":
            return f"“{topic.info.title}” is finished already"
        if action == "skip" and topic.unwanted:
            return f"“{topic.info.title}” is already marked to be skipped"
        if action == "retry" and topic.again:
            return f"“{topic.info.title}” waits for its retry already"
        if action == "retry" and topic.standing != "finished":
            return f"“{topic.info.title}” is {topic.status}; only a finished topic can be tried again"
        if action == "keep" and "rolled_back" not in topic.settled.values():
            return f"nothing of “{topic.info.title}” is rolled back"
        if action == "keep" and topic.status == "running":
            return f"“{topic.info.title}” is running; keep a phase of it when it is finished"
        if action == "samples" and not topic.scores:
            return f"“{topic.info.title}” has no answers yet"
    if action == "vote" and not any(known.status == "finished" and known.kept for known in state.topics.values()):
        return "no trained topic is finished yet, so there are no answers to compare"
    if action == "follow" and focus.topic is None:
        return "following already"
    if action in ("earlier", "later", "log_scale") and not state.phases:
        return "there is no curve yet"
    return ""


def footer(keys: list[Key], words: dict[str, str], off: set[str], cells: int) -> tuple[Line, list[Hit]]:
    """Returns the footer with as many keys as fit, and its clickable areas.

    `words` overrides labels. Actions in `off` are greyed out.
    """
    shown = [key for key in keys if key.label]
    while len(shown) > 1 and sum(_width(key, words) for key in shown) > cells:
        loose = [key for key in shown if key.action not in FIRST]
        shown.remove((loose or shown)[-1])
    spans: list[Span] = []
    hits: list[Hit] = []
    x = 0
    for key in shown:
        label = words.get(key.action, key.label)
        gone = key.action in off
        spans += [(f" {key.shown}", "dim" if gone else "key"), (f" {label} ", "off" if gone else "")]
        hits.append((x, x + _width(key, words), key.action))
        x += _width(key, words)
    return tuple(spans), hits


def _width(key: Key, words: dict[str, str]) -> int:
    return len(key.shown) + len(words.get(key.action, key.label)) + 3
