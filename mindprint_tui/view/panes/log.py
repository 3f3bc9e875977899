"""The log pane: events and their reasons as sentences, the newest last."""

import math
import time

from engine.contract.exit_codes import STOPPED
from engine.contract.journal import events as e
from engine.contract.journal.log_lines import TELLING
from engine.contract.vocabulary import PHASES, STAGES, VERDICTS, health_label
from mindprint_tui.journal.run_state import Entry, RunState
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.journal.topic_state import removed_by_retry
from mindprint_tui.view.final_exam import sentence as exam_sentence
from mindprint_tui.view.focus import LOG, Focus
from mindprint_tui.view.in_model import unsure
from mindprint_tui.view.text import Line, about, count_of, estimate, fit, line, number, small, wrap

LONGEST = 6  # the most lines of one entry

SIGNS = (("->", "→"), (">=", "≥"), ("<=", "≤"))  # as the engine writes them for grep, and as the user reads them
DECISIONS = {"run_dpo": "DPO runs", "skip_dpo": "no DPO", "roll_back": "rolled back", "keep": "kept", "retry": "again"}


def words(state: RunState, event: e.Event, count: int = 1) -> tuple[str, str] | None:
    """Returns an event as a sentence and its role, or None for an event without a log line.

    `count` is how often it occurred.
    """
    times = f" ×{count}" if count > 1 else ""
    match event:
        case e.RunStarted():
            return f"run {event.run} started, seed {event.seed}", ""
        case e.Preparing():
            return event.message, "dim"
        case e.ModelLoaded():
            return f"{event.model}: {event.parameters:,} parameters, {event.dtype} on {event.device}", "dim"
        case e.Predicted():
            least = f", at least {about(event.least)}" if event.least < event.seconds else ""
            return f"about {about(event.seconds)} in all{least}, from {event.basis}", "dim"
        case e.TopicStarted():
            return f"▶ {_title(state, event.topic)}" + (
                f", attempt {event.attempt}" if event.attempt > 1 else ""
            ), "bold"
        case e.Step():
            return (
                f"{_phase(event)} step {event.step}: the loss is {event.loss}; the step was not applied",
                "bad",
            )
        case e.AdapterChanged() if removed_by_retry(event):
            return (
                f"{_phase(event)} of {_title(state, event.topic)} taken out of the model to train it again",
                "warn",
            )
        case e.AdapterChanged(state="rolled_back"):
            return (
                f"{_phase(event)} of {_title(state, event.topic)} taken back; the model is as it was",
                "warn",
            )
        case e.AdapterChanged(state="fused"):
            fused = f"{_phase(event)} fused: cosine {number(event.fuse_cosine, 4)}, KL {small(event.fuse_kl)}"
            return fused, "dim"
        case e.AdapterChanged(state="kept_attached"):
            return f"{_phase(event)} kept attached: fused it would be lost to rounding", "warn"
        case e.ScorerFitted():
            return fitted(event), "" if event.separable else "bad"
        case e.Evaluated():
            health = "" if event.health == "ok" else f", answers are {health_label(event.health)}"
            scores = f"voice {number(event.voice)}, accuracy {number(event.accuracy)}"
            if event.learned:
                scores = _learned(event)
            return f"{STAGES[event.stage].label}: {scores}{health}", "" if event.health == "ok" else "bad"
        case e.Decided():
            role = {"roll_back": "warn", "retry": "warn"}.get(event.decision, "")
            what = DECISIONS.get(event.decision, event.decision)
            return f"{_title(state, event.topic)}: {what}: {_typeset(event.reason)}", role
        case e.TopicFinished():
            row = VERDICTS[event.verdict]
            return f"{_title(state, event.topic)}: {row.label}: {_typeset(event.reason)}", row.role
        case e.Examined():
            return exam_sentence(event), "warn" if event.forgotten else ""
        case e.CommandTaken():
            role = "accent" if event.outcome == "done" else "warn"
            command = event.command.replace("reevaluate", "re-evaluate") or "command"
            return f"{command} {event.outcome}: {event.reason}", role
        case e.Paused():
            return f"paused by {event.by}", "warn"
        case e.Resumed():
            return f"resumed by {event.by}", "accent"
        case e.Restored():
            return f"restored: {event.why}", "warn"
        case e.Warned():
            return f"warning{times}: {event.message}", "warn"
        case e.Failed():
            rule = f"rule broken: {event.rule}: " if event.rule else "failed: "
            return f"{rule}{event.message}", "bad"
        case e.EngineDied():
            return f"the engine died ({event.reason or event.signal or f'status {event.status}'})", "bad"
        case e.EngineRestarted(status=None, signal=None):
            return "the run was started again", "accent"  # the previous engine had stopped or finished
        case e.EngineRestarted():
            return f"the engine started again (attempt {event.attempt})", "warn"
        case e.RunFinished():
            end = f"run finished: {event.passed} of {event.of} passed{unsure(state.tally)} in {duration_of_run(event)}"
            if event.predicted_seconds is not None:
                end += f"; predicted: {about(event.predicted_seconds)}"
            advice = f". {_next(state, event)}" if state.finished == event else ""  # only if no engine resumed the run
            return end + advice, "ok" if event.exit_status == 0 else "warn"
        case _:
            return None


def fitted(event: e.ScorerFitted) -> str:
    """Returns the sources of the learned voice and its telling pieces.

    If the texts do not tell the voice, returns the engine's advice.
    """
    text = f"voice learned from {event.own} texts in it and {event.others} others"
    telling = f"; telling: {', '.join(event.telling[:TELLING])}" if event.telling else ""
    if event.separable:
        return text + telling
    return f"✗ these texts do not tell the voice: {event.advice or 'more rows would help'} ({text}{telling})"


def _learned(event: e.Evaluated) -> str:
    """Returns voice and closeness with their intervals, and the number of looping and void answers."""
    text = f"voice {estimate(event.voice, event.intervals.get('voice'), event.questions)}"
    if event.closeness is not None:
        text += f", closeness {estimate(event.closeness, event.intervals.get('closeness'))}"
    for name, count in (("loops", event.loops), ("void", event.void)):
        text += f", {name} {count_of(count, event.questions)}" if count else ""
    return text


def _next(state: RunState, end: e.RunFinished) -> str:
    """Returns suggested next commands for a run that has ended."""
    name = state.started.run if state.started else "RUN"
    if end.exit_status == STOPPED:
        return f"Go on with: mindprint-tui --resume {name}"
    return f"Next: enter shows the answers; mindprint-tui chat {name}, report {name}, export {name} --to DIR in a shell"


def duration_of_run(end: e.RunFinished) -> str:
    """Returns how long a run took and how much of it was paused. The prediction contains no pauses."""
    paused = f", {about(end.paused_seconds)} of it paused" if end.paused_seconds >= 1 else ""
    return about(end.seconds) + paused


def log_lines(state: RunState, focus: Focus, cells: int, height: int) -> tuple[list[Line], bool]:
    """Returns the newest lines that fit, and whether there are older ones.

    If the log pane is chosen, `focus.scroll` moves it up.
    """
    wanted = height + (focus.scroll if focus.pane == LOG else 0)
    lines: list[Line] = []
    for entry in reversed(state.log):
        lines = _entry(state, entry, focus.filter, cells) + lines
        if len(lines) > wanted:
            break
    if not lines and focus.filter:
        return [line((f"Nothing in the log holds “{focus.filter}”.", "dim"))], False
    up = min(wanted - height, max(0, len(lines) - height))
    first = max(0, len(lines) - height - up)
    return lines[first : len(lines) - up], first > 0


def lines_since(state: RunState, entry: Entry, focus: Focus, cells: int) -> int:
    """Returns the number of lines added after an entry, or 0 if the entry is gone."""
    lines = 0
    for later in reversed(state.log):
        if later is entry:
            return lines
        lines += len(_entry(state, later, focus.filter, cells))
    return 0


def _entry(state: RunState, entry: Entry, wanted: str, cells: int) -> list[Line]:
    found = words(state, entry.event, entry.count)
    if found is None or (wanted and wanted.lower() not in found[0].lower()):
        return []
    text, role = found
    stamp = time.strftime("%H:%M", time.localtime(entry.t)) if math.isfinite(entry.t) else "--:--"
    room = max(10, cells - len(stamp) - 1)
    rows = wrap(one_line(text), room, "  ")
    if len(rows) > LONGEST:
        rows = [*rows[: LONGEST - 1], fit(rows[LONGEST - 1] + "…", room)]
    return [line((f"{stamp if not place else '':<6}", "dim"), (row, role)) for place, row in enumerate(rows)]


def _typeset(reason: str) -> str:
    for written, read in SIGNS:
        reason = reason.replace(written, read)
    return reason


def _phase(event: e.Step | e.AdapterChanged) -> str:
    return PHASES[event.phase].label


def _title(state: RunState, topic: str) -> str:
    found = state.topics.get(topic)
    return found.info.title if found else topic
