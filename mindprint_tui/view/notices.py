"""Lines under the header: lasting warnings, and answers to the user's requests."""

from engine.contract.wording import unreadable_lines
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.view.focus import Focus, OpenRequest, failures, running
from mindprint_tui.view.header import DOING, SHOWN, SPACE, _starts
from mindprint_tui.view.in_model import unsure
from mindprint_tui.view.panes.log import duration_of_run
from mindprint_tui.view.text import Line, crop, fit, join, line, shorten, wrap


def banner(state: RunState, live: Liveness, focus: Focus, now: float, cells: int) -> list[Line]:
    """Returns the warnings that must not be overlooked: broken rule, failure, or missing engine."""
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
    """Returns the notice line.

    It shows an open question or the filter first. Then follow a message to the user and the requests with their
    answers. If there are none, it shows the state of the console.
    """
    if focus.asking:
        return _question(state, focus, cells)
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
        damage = f" ! {unreadable_lines(focus.damaged)} " if focus.damaged else ""
        return crop((*line((damage, "warn")), *_standing(state, focus, cells)), cells)
    return crop((SPACE, *join(parts)), cells)


def _question(state: RunState, focus: Focus, cells: int) -> Line:
    """Returns the open question. A long topic title is shortened to leave room for the answers."""
    if focus.asking == "stop":
        return crop(
            line((" Stop the run? It saves a checkpoint. ", "breach"), ("  y stops, n does not", "bold")), cells
        )
    before, after, keys = " Skip “", "”? What this phase has learned is lost. ", "  y skips, n does not"
    topic = state.topics.get(focus.doubted or "")
    title = shorten(topic.info.title if topic else "", max(4, cells - len(before + after + keys)))
    return crop(line((before + title + after, "breach"), (keys, "bold")), cells)


def _became(state: RunState, live: Liveness, asked: OpenRequest, now: float) -> Line:
    """Returns the result of a request.

    Empty if the answer is older than SHOWN seconds or is no longer true.
    """
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


def _of(state: RunState, asked: OpenRequest) -> str:
    topic = state.topics.get(asked.topic or "")
    return f" “{topic.info.title}”" if topic else ""


def _standing(state: RunState, focus: Focus, cells: int) -> Line:
    if state.finished is not None:
        end = state.finished
        result = f" {end.passed} of {end.of} topics passed{unsure(state.tally)} in {duration_of_run(end)}"
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
