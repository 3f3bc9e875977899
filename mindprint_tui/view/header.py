"""The header, the banner of what must not be overlooked, and the line that says what became of a request."""

from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.view.focus import Asked, Focus, failures, running, selected, starting, waiting
from mindprint_tui.view.panes.log import took
from mindprint_tui.view.panes.outline import Outline
from mindprint_tui.view.text import Line, Span, about, clock, crop, fit, join, line, number, shorten, width, wrap

STARTING = 30.0  # seconds that an engine may take until it says something
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
}


def condition(state: RunState, live: Liveness, focus: Focus, now: float, who: bool = True) -> Span:
    """The state of the run in a word or two, and who has paused it."""
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
    return ("preparing", "accent") if state.preparing else ("running", "ok")


def _starts(state: RunState, live: Liveness, focus: Focus, now: float) -> bool:
    """Whether an engine is starting: not for ever where none has taken the lock."""
    return starting(state, focus) and (live.word != "gone" or now - focus.opened < STARTING)


def header(state: RunState, live: Liveness, focus: Focus, outline: Outline, now: float, cells: int) -> Line:
    """What runs, how far it is, and in what state; where it is narrow, what matters less is left out."""
    name = line((state.started.run if state.started else "…", "bold"))
    what = [line(condition(state, live, focus, now))]
    if (place := _place(state, outline)) and state.finished is None:
        what.append(line(f"topic {place}/{len(state.topics)}"))
    if state.restarts and state.finished is None:
        what.append(line((f"restarted ×{state.restarts}", "warn")))
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
    """The right end of the header: all that moves with the clock, so that the rest is not drawn again each second.

    As at the end of the run, the time without an engine is not counted, and pauses are.
    """
    over = live.word == "gone" or state.finished is not None or starting(state, focus)
    left = remaining(state, outline, now)
    parts: list[Line] = [line(clock(state.spent.at(state.t if over else now)))] if state.began else []
    if wide and left is not None and not (over or state.stopping) and state.paused is None:
        parts.append(line(f"about {about(left)} left"))
    if _starts(state, live, focus, now):  # its silence is that of the engine before
        return join([*parts, line(("engine ✓ ", "ok")) if live.word != "gone" else ()])
    return join([*parts, _engine(live, state)])


def second(state: RunState, focus: Focus, outline: Outline, cells: int) -> Line:
    """The header's second line where there is no room for panes side by side: the numbers that matter."""
    topic = running(state) or selected(state, focus)
    run = state.phase_of(topic)
    parts: list[Line] = []
    if run is not None and run.last is not None:
        rolled = f"{run.phase.upper()} {run.last.step}/{run.steps}"
        parts += [line(f" {rolled}"), line(f"loss {number(run.last.loss, 3)}")]
    elif state.preparing:
        return crop(line(" ", (state.preparing, "accent")), cells)
    if topic in state.topics:
        voices = outline.voices.get(topic, "")
        parts.append(line(f"voice {voices}" if voices else ""))
        parts.append(line((state.topics[topic].info.title, "dim")))
    return crop(join(parts), cells)


def banner(state: RunState, live: Liveness, focus: Focus, now: float, cells: int) -> list[Line]:
    """Lines that are the loudest on the screen: a broken rule, a failure, an engine that is not there."""
    lines: list[Line] = []
    for failed in failures(state, focus):
        word = f" ✗ RULE BROKEN: {failed.rule} " if failed.rule else " ✗ FAILED "
        where = "the run ended" if failed.topic is None else failed.where
        text = one_line(failed.message)
        rows = wrap(f"{word}· {where} · {text}", cells - 2, "   ")
        lines += [line((fit(row, cells), "breach")) for row in rows[: 3 if failed.rule else 2]]
    gone = live.word == "gone" and state.finished is None and state.fatal is None
    if gone and not _starts(state, live, focus, now):
        name = state.started.run if state.started else "RUN"
        text = f" ✗ The engine is gone and the run is not finished. Go on with: mindprint-tui --resume {name}"
        text += "" if state.started else " · its last words, if it had any, are in engine.out there"
        lines += [line((fit(row, cells), "breach")) for row in wrap(text, cells - 2, "   ")]
    elif state.died is not None and live.word != "gone":
        how = state.died.reason or state.died.signal or f"status {state.died.status}"
        text = (
            f" ! The engine died ({how}); it is being started again from its checkpoint, attempt {state.died.attempt}"
        )
        lines.append(line((fit(text, cells), "breach")))
    return lines[:6]


def notice(state: RunState, live: Liveness, focus: Focus, now: float, cells: int) -> Line:
    """A word to the person first, then what was asked and what became of it, or else where the console stands."""
    if focus.asking:
        question = (" Stop the run? It saves a checkpoint. ", "breach")
        return crop(line(question, ("  y stops, n does not", "bold")), cells)
    if focus.typing:
        return crop(
            line((" filter the log: ", "accent"), focus.filter, ("▏", "accent"), ("  enter keeps, esc clears", "dim")),
            cells,
        )
    reading = focus.progress < 1.0
    parts = [line((f"reading the journal: {focus.progress:.0%}", "accent"))] if reading else []
    if focus.note and now - focus.note_t < SHOWN:
        parts.append(line((focus.note, "accent")))
    if state.finished is None:
        parts += [text for asked in reversed(focus.asked) if (text := _became(state, live, asked, now))][:3]
    if not any(parts):
        return _standing(state, focus, cells)
    return crop((SPACE, *join(parts)), cells)


def remaining(state: RunState, outline: Outline, now: float) -> float | None:
    """Seconds of work to come, from the mean of the topics that were trained; None where that is not known.

    Before the first it is what the engine predicted, less what was worked. Where a topic has taken longer than was
    left, nobody knows, and the same words for minutes would be wrong.
    """
    if outline.trained:
        mean = outline.trained_seconds / outline.trained
        current = _of_current(state, mean, now)
        left = None if current is None else mean * outline.waiting + current
    else:
        left = None if state.predicted is None else state.predicted - state.work.at(now)
    return left if left is not None and left > 0 else None


def _of_current(state: RunState, mean: float, now: float) -> float | None:
    """Seconds that the running topic still takes: what is left of the mean, and no less than its steps will take.

    None where it has taken longer than the mean. DPO is the last phase of a topic: there the steps and one more scoring
    are all that is left.
    """
    if state.current is None:
        return 0.0
    run, steps = state.phase_of(state.current), 0.0
    if run is not None and run.last is not None:
        steps = (run.steps - run.last.step) * run.last.seconds
        if run.phase == "dpo":
            scores = state.topics[state.current].scores
            return steps + (scores["sft"].seconds if "sft" in scores and "dpo" not in scores else 0.0)
    left = mean - (state.work.at(now) - state.current_began)
    return max(left, steps) if left > 0 else None


def _became(state: RunState, live: Liveness, asked: Asked, now: float) -> Line:
    """What became of a request; empty once its answer has been there for a while, or is no longer true."""
    answer = asked.answer
    if answer is None:
        then = "it is done when the run goes on" if asked.topic is not None else "it will not answer"
        gone = f" the engine is gone; {then}" if live.word == "gone" else ""
        return line((f"{DOING[asked.kind]}{_of(state, asked)}…{gone}", "warn"))
    overtaken = asked.kind == ("pause" if state.paused is None else "resume") and answer.outcome == "done"
    if overtaken or abs(now - answer.t) >= SHOWN:
        return ()
    kind, reason = asked.kind.replace("reevaluate", "re-evaluate"), answer.reason.removeprefix(f"{asked.topic} ")
    if answer.outcome == "refused":
        return line((f"✗ {kind}{_of(state, asked)} refused: {reason}", "bad"))
    return line((f"✓ {kind}{_of(state, asked)}: {reason}", "ok"))


def _of(state: RunState, asked: Asked) -> str:
    topic = state.topics.get(asked.topic or "")
    return f" “{topic.info.title}”" if topic else ""


def _standing(state: RunState, focus: Focus, cells: int) -> Line:
    if state.finished is not None:
        end = state.finished
        result = f" {end.passed} of {end.of} topics passed in {took(end)}"
        keys = "  enter shows answers, R other runs, q leaves"
        return crop(line((result, "ok" if not end.exit_status else "warn"), (keys, "dim")), cells)
    if state.preparing:
        return crop(line((f" {state.preparing}…", "accent")), cells)
    if focus.filter:
        return crop(line((f" log filtered by “{focus.filter}”", "dim"), ("  / changes it, esc clears", "dim")), cells)
    if focus.topic is not None and focus.topic != running(state) and focus.topic in state.topics:
        title = state.topics[focus.topic].info.title
        return crop(line((f" looking at “{title}”; f follows the running topic again", "dim")), cells)
    return ()


def _engine(live: Liveness, state: RunState) -> Line:
    if state.finished is not None:
        return line(
            (f"{state.finished.passed}/{state.finished.of} passed ", "ok" if not state.finished.exit_status else "warn")
        )
    if live.word == "gone":
        return line(("engine ✗ ", "bad"))
    if state.paused is None and (live.word == "silent" or live.seconds >= 5):
        role = "warn" if live.word == "silent" else ""
        return line((f"engine ✓ silent for {about(live.seconds)} ", role))
    return line(("engine ✓ ", "ok"))


def _place(state: RunState, outline: Outline) -> int:
    topic = running(state)
    return outline.numbers.get(topic, 0) if topic else 0


def _short_model(name: str) -> str:
    return shorten(name.rstrip("/").rpartition("/")[2], 28)


def _dtype(name: str) -> str:
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(name, name)
