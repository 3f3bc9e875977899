"""The runs in logs/, a line each: name, model, state, topics passed, mean voice, age."""

from dataclasses import dataclass

from engine.contract.vocabulary import PASSED
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import Condition, RunState, condition
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.view.panes.outline import kept_voice
from mindprint_tui.view.text import NONE, Line, Span, about, fit, number


@dataclass(frozen=True, slots=True)
class RunRow:
    """What is known of a run at a look; `state` is None while its journal is being read."""

    name: str
    state: RunState | None = None
    live: Liveness | None = None


LOOKS: dict[Condition, Span] = {
    "alive": ("▶ alive", "ok"),
    "paused": ("‖ paused", "warn"),
    "stopped": ("■ stopped", "warn"),
    "finished": ("✓ finished", ""),
    "refused": ("! refused", "bad"),
    "died": ("✗ died", "bad"),
}


def look(row: RunRow) -> Span:
    """The sign and the word for what a run is doing; an engine that was started again is counted."""
    if row.state is None or row.live is None:
        return "reading…", "dim"
    found = condition(row.state, row.live)
    sign, role = LOOKS[found]
    return (f"{sign} ↻{row.state.restarts}" if found == "alive" and row.state.restarts else sign), role


def run_line(row: RunRow, now: float, cells: int, chosen: bool) -> Line:
    """One run."""
    state = row.state or RunState()
    shown, role = look(row)
    passed = state.finished.passed if state.finished else state.tally.get(PASSED, 0)
    of = state.finished.of if state.finished else len(state.topics)
    voices = [voice for topic in state.topics.values() if (voice := kept_voice(topic)) is not None]
    mean = number(sum(voices) / len(voices)) if voices else NONE
    age = f"{about(now - state.began)} ago" if state.began else ""
    model = state.model.model.rpartition("/")[2] if state.model else ""
    room = cells - 48 if cells < 100 else cells - 48 - 26
    name: Span = (fit(clean(row.name), max(8, room)), "cursor" if chosen else "bold")
    spans: list[Span] = [("▸ " if chosen else "  ", "accent"), name, ("  ", "")]
    if cells >= 100:
        spans.append((fit(model, 26), "dim"))
    counts = f"{passed}/{of} passed" if of else ""
    return (*spans, (f"{shown:<11}", role), (f"{counts:>14}", ""), (f"{mean:>7}", ""), (f"{age:>12}", "dim"))


def runs_head(cells: int) -> Line:
    """The names of the columns."""
    room = max(8, cells - 48 if cells < 100 else cells - 48 - 26)
    model = fit("model", 26) if cells >= 100 else ""
    return ((f"  {fit('run', room)}  {model}{'state':<11}{'topics':>14}{'voice':>7}{'age':>12}", "dim"),)
