"""Header of the train screen: run, state, progress, clock and engine."""

from engine.contract.vocabulary import FOUNDATION, PHASES, UNDECIDED
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState, rules_broken
from mindprint_tui.view.final_exam import lost
from mindprint_tui.view.focus import Focus, running, selected, starting, waiting
from mindprint_tui.view.panes.outline import Outline
from mindprint_tui.view.text import Line, Span, about, clock, crop, join, line, number, shorten, width
from mindprint_tui.view.time_left import remaining

STARTING = 30.0  # seconds that an engine may take until its first event
SPACE: Span = (" ", "")
SHOWN = 12.0  # seconds that an answer stays on the screen
ENDS: dict[int, Span] = {130: ("stopped by a person", "warn"), 3: ("✗ the engine died", "bad")}  # by exit status
DOING = {
    "pause": "pausing",
    "resume": "resuming",
    "stop": "stopping",
    "skip": "skipping",
    "reevaluate": "re-evaluation asked for",
    "retry": "retry asked for",
    "keep": "keep asked for",
}


def condition(state: RunState, live: Liveness, focus: Focus, now: float, who: bool = True) -> Span:
    """Returns the state of the run in a few words. With `who`, it also names the user who paused it."""
    starts = _starts(state, live, focus, now)
    if not starts and state.finished is not None:
        return ENDS.get(state.finished.exit_status, ("finished", "bold"))
    if not starts and state.fatal is not None:
        return "✗ failed", "bad"
    if not starts and live.word == "gone":
        return "engine gone", "bad"
    for asked in waiting(focus):
        if asked.kind in ("stop", "pause", "resume"):
            return f"{DOING[asked.kind]}…", "warn"
    if starts:
        return "starting…", "accent"
    if state.stopping:
        return "stopping…", "warn"
    if state.died is not None:
        return "restarting…", "warn"
    if state.paused is not None:
        return f"‖ paused by {shorten(state.paused.by, 24)}" if who else "‖ paused", "warn"
    if _in_exam(state):
        return "final exam", "accent"
    return ("preparing", "accent") if state.preparing else ("running", "ok")


def _in_exam(state: RunState) -> bool:
    """Tells whether every topic has its verdict, and the final exam has no result yet."""
    topics = len(state.topics) - (FOUNDATION in state.topics)
    return 0 < topics <= sum(state.tally.values()) and state.current is None and state.examined is None


def _starts(state: RunState, live: Liveness, focus: Focus, now: float) -> bool:
    """Returns True if an engine is starting. Ends after STARTING seconds if no engine has taken the lock."""
    return starting(state, focus) and (live.word != "gone" or now - focus.opened < STARTING)


def header(state: RunState, live: Liveness, focus: Focus, outline: Outline, now: float, cells: int) -> Line:
    """Returns the header: run, progress and state. A narrow header drops the less important parts."""
    name = line((state.started.run if state.started else "…", "bold"))
    what = [line(condition(state, live, focus, now))]
    if (place := _place(state, outline)) and state.finished is None:
        what.append(line(place))
    if state.restarts and state.finished is None:
        what.append(line((f"restarted ×{state.restarts}", "warn")))
    if state.examined is not None and (change := lost(state.examined)):
        what.append(line((change, "warn" if state.examined.forgotten else "")))
    if broken := rules_broken(state):
        what.append(line((f"✗ rules broken {broken}", "bad")))
    brief = [line(condition(state, live, focus, now, who=False)), *what[1:]]
    title = line(("mindprint", "title"))
    model = line(f"{_short_model(state.model.model)} {_dtype(state.model.dtype)}") if state.model else ()
    named = ([name, *what], [name, *brief], [name, *brief[:2]], [name, brief[0]])
    for parts in ([title, name, model, *what], [title, name, *what], *named):
        if width(shown := (SPACE, *join(parts))) <= cells:
            return shown
    room = max(8, cells - width(join([(), *brief])) - 4)
    return crop((SPACE, *join([line((shorten(name[0][0], room), "bold")), *brief])), cells)


def timing(state: RunState, live: Liveness, focus: Focus, outline: Outline, now: float, wide: bool) -> Line:
    """Returns the right end of the header, which has everything that changes each second.

    The rest of the header is then not redrawn each second. As in the run's final time, time without an engine is not
    counted but pauses are.
    """
    over = live.word == "gone" or state.finished is not None or starting(state, focus)
    left = remaining(state, outline, now)
    parts: list[Line] = [line(clock(state.spent.at(state.t if over else now)))] if state.began else []
    if wide and left is not None and not (over or state.stopping) and state.paused is None:
        parts.append(line(f"about {about(left)} left"))
    if _starts(state, live, focus, now):  # the silence is that of the previous engine
        return join([*parts, line(("engine ✓ ", "ok")) if live.word != "gone" else ()])
    return join([*parts, _engine(live, state)])


def second(state: RunState, focus: Focus, outline: Outline, cells: int) -> Line:
    """Returns the second line of the header on a small screen: the most important numbers."""
    topic = running(state) or selected(state, focus)
    run = state.phase_of(topic)
    parts: list[Line] = []
    if run is not None and run.last is not None:
        rolled = f"{PHASES[run.phase].label} {run.last.step}/{run.steps}"
        parts += [line(f" {rolled}"), line(f"loss {number(run.last.loss, 3)}")]
    elif state.preparing:
        return crop(line(" ", (state.preparing, "accent")), cells)
    if topic in state.topics:
        voices = outline.voices.get(topic, "")
        parts.append(line(f"voice {voices}" if voices else ""))
        parts.append(line((state.topics[topic].info.title, "dim")))
    return crop(join(parts), cells)


def _engine(live: Liveness, state: RunState) -> Line:
    if state.finished is not None:
        end, unsure = state.finished, state.tally.get(UNDECIDED, 0)
        words = f"{end.passed}/{end.of} passed" + (f", {unsure} undecided" if unsure else "")
        words += f", {len(gone)} forgotten " if state.examined and (gone := state.examined.forgotten) else " "
        return line((words, "ok" if not end.exit_status else "warn"))
    if live.word == "gone":
        return line(("engine ✗ ", "bad"))
    if state.paused is None and (live.word == "silent" or live.seconds >= 5):
        role = "warn" if live.word == "silent" else ""
        return line((f"engine ✓ silent for {about(live.seconds)} ", role))
    return line(("engine ✓ ", "ok"))


def _place(state: RunState, outline: Outline) -> str:
    topic = running(state)
    if topic is None or not state.topics[topic].counted:
        return "foundation" if topic else ""
    return f"topic {outline.numbers.get(topic, 0)}/{len(outline.numbers)}"


def _short_model(name: str) -> str:
    return shorten(name.rstrip("/").rpartition("/")[2], 28)


def _dtype(name: str) -> str:
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(name, name)
