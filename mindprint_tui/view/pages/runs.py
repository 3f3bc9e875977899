"""List of runs, one line each: name, model, state, topics passed, mean voice, age."""

from dataclasses import dataclass

from engine.contract.vocabulary import PASSED, UNDECIDED
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.headline import headline
from mindprint_tui.journal.run_state import Condition, RunState, condition
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.view.text import Line, Span, about, fit, number

WIDE, ROOMY = 100, 70  # widths from which the model, and the number of topics in the mean voice, are shown
MODEL = 26  # cells


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of the list of runs.

    `state` is None while the journal is being read. `problem` says why it cannot be read.
    """

    name: str
    state: RunState | None = None
    live: Liveness | None = None
    problem: str = ""


LOOKS: dict[Condition, Span] = {
    "alive": ("▶ alive", "ok"),
    "paused": ("‖ paused", "warn"),
    "stopped": ("■ stopped", "warn"),
    "finished": ("✓ finished", ""),
    "refused": ("! refused", "bad"),
    "died": ("✗ died", "bad"),
}


def condition_of(row: RunRow) -> Span:
    """Returns the sign and the word for the state of a run, with the number of restarts."""
    if row.problem:
        return "! bad file", "bad"
    if row.state is None or row.live is None:
        return "reading…", "dim"
    found = condition(row.state, row.live)
    sign, role = LOOKS[found]
    return (f"{sign} ↻{row.state.restarts}" if found == "alive" and row.state.restarts else sign), role


def run_line(row: RunRow, now: float, cells: int, chosen: bool) -> Line:
    """Returns the line of one run."""
    state = row.state or RunState()
    shown, role = condition_of(row)
    passed = state.finished.passed if state.finished else state.tally.get(PASSED, 0)
    of = state.finished.of if state.finished else len(state.course)
    mean = headline(state.topics.values())
    voice = number(mean.voice) + (f" of {mean.topics}" if mean.topics and cells >= ROOMY else "")
    age = f"{about(now - state.began)} ago" if state.began else ""
    model = state.model.model.rpartition("/")[2] if state.model else ""
    name: Span = (fit(clean(row.name), _room(cells)), "cursor" if chosen else "bold")
    spans: list[Span] = [("▸ " if chosen else "  ", "accent"), name, ("  ", "")]
    if cells >= WIDE:
        spans.append((fit(model, MODEL), "dim"))
    unsure = state.tally.get(UNDECIDED, 0)
    counts = f"{passed}/{of} passed" + (f" {unsure}?" if unsure else "") if of else ""
    end: list[Span] = [(f"{counts:>14}", ""), (f"{voice:>{_column(cells)}}", ""), (f"{age:>13}", "dim")]
    return (*spans, (f"{shown:<11}", role), *end)


def runs_head(cells: int) -> Line:
    """Returns the names of the columns. The voice is the mean over finished topics."""
    model = fit("model", MODEL) if cells >= WIDE else ""
    voice = "mean voice" if cells >= ROOMY else "voice"
    return (
        (
            f"  {fit('run', _room(cells))}  {model}{'state':<11}{'topics':>14}{voice:>{_column(cells)}}{'age':>13}",
            "dim",
        ),
    )


def _column(cells: int) -> int:
    """Returns the width of the voice column."""
    return 13 if cells >= ROOMY else 7


def _room(cells: int) -> int:
    """Returns the width of the name column, which is the room that the other columns leave."""
    return max(8, cells - 42 - _column(cells) - (MODEL if cells >= WIDE else 0))
