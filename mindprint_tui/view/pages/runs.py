"""The runs in logs/, a line each: name, model, state, topics passed, mean voice, age."""

from dataclasses import dataclass

from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.view.panes.outline import kept_voice
from mindprint_tui.view.text import NONE, Line, Span, about, fit, number


@dataclass(frozen=True, slots=True)
class RunRow:
    """What is known of a run at a look; `state` is None while its journal is being read."""

    name: str
    state: RunState | None = None
    live: Liveness | None = None


def word(row: RunRow) -> Span:
    """Alive, paused, finished, stopped or died: signs and words."""
    state, live = row.state, row.live
    if state is None or live is None:
        return "reading…", "dim"
    if live.word != "gone":
        again = f" ↻{state.restarts}" if state.restarts else ""  # how often an engine went on with it
        return ("‖ paused", "warn") if state.paused else (f"▶ alive{again}", "ok")
    if state.finished is not None:
        return ("■ stopped", "warn") if state.finished.exit_status == 130 else ("✓ finished", "")
    if state.fatal is not None and state.fatal.where == "input":
        return "! refused", "bad"
    return "✗ died", "bad"


def run_line(row: RunRow, now: float, cells: int, chosen: bool) -> Line:
    """One run."""
    state = row.state or RunState()
    look, role = word(row)
    passed = state.finished.passed if state.finished else state.tally.get("passed", 0)
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
    return (*spans, (f"{look:<11}", role), (f"{counts:>14}", ""), (f"{mean:>7}", ""), (f"{age:>12}", "dim"))


def runs_head(cells: int) -> Line:
    """The names of the columns."""
    room = max(8, cells - 48 if cells < 100 else cells - 48 - 26)
    model = fit("model", 26) if cells >= 100 else ""
    return ((f"  {fit('run', room)}  {model}{'state':<11}{'topics':>14}{'voice':>7}{'age':>12}", "dim"),)
