"""The loss pane: one phase's numbers, its curve, and the result of the phase before."""

from engine.contract.vocabulary import PHASES
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import PhaseRun
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.panes.chart import BEST, LABEL, Overlay, chart
from mindprint_tui.view.text import Line, beside, crop, join, line, number, small, width

GLUE = ("  ", "")


def position(state: RunState, focus: Focus) -> int:
    """Returns the index in `phases` of the phase to show: the latest, or the chosen one while it is kept."""
    last = len(state.phases) - 1
    return last if focus.curve is None or last < 0 else min(last, max(0, focus.curve - state.phases[0].number))


def shown(state: RunState, focus: Focus) -> PhaseRun | None:
    """Returns the phase that the pane shows."""
    return state.phases[position(state, focus)] if state.phases else None


def loss_title(state: RunState, focus: Focus) -> str:
    run = shown(state, focus)
    if run is None:
        return "Loss"
    back = len(state.phases) - 1 - position(state, focus)
    earlier = f" · {back} earlier" if back else ""
    topic = state.topics.get(run.topic)
    title = topic.info.title if topic else run.topic
    return f"Loss · {PHASES[run.phase].label} {title}{earlier}{' · log' if focus.log_scale else ''}"


def loss_lines(state: RunState, focus: Focus, cells: int, height: int) -> list[Line]:
    """Returns numbers, chart and axis. Without enough room only the numbers."""
    run = shown(state, focus)
    if run is None:
        return [line(("The curve begins with the first optimizer step.", "dim"))]
    top = [_numbers(run, cells)]
    if PHASES[run.phase].preference:
        top.append(_preferences(run, cells))
    if run.held:
        top.append(_held(run, cells))
    tail = [_before(state, focus, cells)] if height >= 9 else []
    tail = [text for text in tail if text]
    rows = height - len(top) - len(tail) - 1
    if rows < 2:
        return top[:height]
    return [*top, *chart(run.loss, cells, rows, focus.log_scale, _overlay(run)), _axis(run, cells), *tail]


def _numbers(run: PhaseRun, cells: int) -> Line:
    last = run.last
    if last is None:
        share = f" · {run.supervised_tokens:,} of {run.total_tokens:,} tokens supervised" if run.total_tokens else ""
        again = f", {run.replayed} replayed" if run.replayed else ""
        words = f" {run.steps} steps on {run.rows} rows{again}{share}"
        return crop(line((PHASES[run.phase].label, "bold"), words), cells)
    rate = f"{last.tokens / last.seconds:.0f} tok/s" if last.seconds > 0 else ""
    bad = line((f"× {run.loss.bad} not finite", "bad")) if run.loss.bad else ()
    parts = [
        line((PHASES[run.phase].label, "bold"), f" {number(last.loss, 3)}"),
        bad,
        line(f"step {last.step}/{run.steps}"),
        line(rate),
        line(f"lr {small(last.lr)}"),
        line(f"‖g‖ {small(last.grad_norm)}"),
        line(f"{last.peak_bytes / 1e9:.1f} GB") if cells >= 62 else (),
    ]
    return _fitting(parts, cells)


def _fitting(parts: list[Line], cells: int) -> Line:
    """Returns the parts that fit. A number is never cut, because it would look like another number."""
    while len(parts) > 1 and width(join(parts, GLUE)) > cells:
        parts.pop()
    return crop(join(parts, GLUE), cells)


def _preferences(run: PhaseRun, cells: int) -> Line:
    last = run.last
    if last is None or last.margin is None:
        return ()
    share = f"{last.preference_accuracy:.0%}" if last.preference_accuracy is not None else "–"
    rewards = f"chosen {number(last.chosen_reward)}, rejected {number(last.rejected_reward)}"
    parts = [line(f"margin {last.margin:+.2f}"), line(f"correct {share}"), line((rewards, "dim"))]
    return _fitting(parts, cells)


def _held(run: PhaseRun, cells: int) -> Line:
    """Returns the last validation and the best step; of the step that is kept, once it is chosen."""
    last, best, kept = run.held[-1][1], run.best, run.kept
    numbers = [("held out", last.loss), ("margin", last.margin), ("score", last.score)]
    parts = [line((name, "ok"), f" {number(value, 3)}") for name, value in numbers if value is not None]
    if kept is not None:
        parts.append(line((f"{BEST} step {kept.step} kept", "bold"), f" of {kept.of}, by {kept.by}"))
    elif best is not None:
        parts.append(line(f"{BEST} best at step {best.step}"))
    return _fitting(parts, cells)


def _overlay(run: PhaseRun) -> Overlay:
    """Returns the held-out line, with the best step marked."""
    points = [(found.step, found.loss) for _, found in run.held if found.loss is not None]
    return Overlay(points, run.kept.step if run.kept else run.best.step if run.best else None)


def _axis(run: PhaseRun, cells: int) -> Line:
    label = f" {run.steps} steps"
    room = max(0, cells - LABEL - 1 - len(label))
    return line((" " * LABEL + "└" + "─" * room + label, "dim"))


def _before(state: RunState, focus: Focus, cells: int) -> Line:
    """Returns one line about the phase before the one shown."""
    before = position(state, focus) - 1
    if before < 0:
        return ()
    run = state.phases[before]
    points = sorted(run.loss.buckets.items())
    if not points:
        return ()
    first, last = points[0][1].last, points[-1][1].last
    words = f"{PHASES[run.phase].label} before: loss {number(first, 3)} → {number(last, 3)}"
    margin = run.last.margin if run.last else None
    if margin is not None:
        words += f"  margin {margin:+.2f}"
    return beside(line((words, "dim")), line(("[ ] phases", "dim")), cells)
