"""The topics pane: signs, titles, the running phase's bar, and voice before → SFT → DPO · now."""

from engine.contract.vocabulary import BASE, FINAL, PHASES, PREFERENCE, SUPERVISED, VERDICTS
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.panes.outline import Outline, Row
from mindprint_tui.view.text import NONE, Line, Span, bar, beside, crop, fit, line, number, ordinal

SIGNS: dict[str, Span] = {
    "pending": ("·", "dim"),
    "running": ("▶", "accent"),
    "again": ("▷", "accent"),
    **{name: (row.mark, row.role) for name, row in VERDICTS.items()},
    "rolled_back": ("⟲", "warn"),
}
WORD = 9  # width of a verdict
ROOMY = 60  # cells in which all voices have room beside that of the final exam


def sign(topic: TopicState) -> Span:
    """Returns one character for the state of a topic."""
    if topic.again or topic.unwanted:
        return SIGNS["again" if topic.again else "skipped"]
    if topic.status != "finished" or topic.verdict is None:
        return SIGNS["running" if topic.status == "running" else "pending"]
    row = VERDICTS[topic.verdict]
    undone = topic.undone and row.scored and not row.open and row.role != "bad"
    return SIGNS["rolled_back"][0] if undone else row.mark, row.role


def window(rows: int, height: int, cursor: int) -> int:
    """Returns the first row to show. The cursor is in the middle, except near the ends of the list."""
    return max(0, min(cursor - height // 2, rows - height))


def topic_lines(state: RunState, outline: Outline, chosen: str | None, cells: int, height: int) -> list[Line]:
    """Returns the rows around the chosen topic."""
    if not outline.rows:
        return [line(("The topics come when the curriculum has been read.", "dim"))] if state.seq >= 0 else []
    cursor = outline.places.get(chosen or "", 0)
    first = window(len(outline.rows), height, cursor)
    shown = outline.rows[first : first + height]
    return [_row(state, row, row.id == chosen, cells) for row in shown]


def _row(state: RunState, row: Row, chosen: bool, cells: int) -> Line:
    if row.kind != "topic":
        head = line(
            ("▌ " if row.kind == "unit" else "  ", "accent"), (row.title, "bold" if row.kind == "unit" else "dim")
        )
        mean = f" · voice {number(row.voice)}" if row.voice is not None else ""
        unsure = f", {row.undecided} undecided" if row.undecided else ""
        return beside(head, line((f"{row.passed}/{row.topics} passed{unsure}{mean}", "dim")), cells)
    topic = state.topics[row.id]
    mark, role = sign(topic)
    right = _right(state, topic, cells)
    name = topic.info.title + (f" ({ordinal(topic.attempt)} try)" if topic.attempt > 1 else "")
    room = cells - 4 - sum(len(text) for text, _ in right)
    look = "cursor" if chosen else {"running": "bold", "pending": "dim"}.get(topic.status, "")
    title: Span = (fit(name, room), look)
    return crop((("▸" if chosen else " ", "accent"), (mark, role), (" ", ""), title, (" ", ""), *right), cells)


def _right(state: RunState, topic: TopicState, cells: int) -> Line:
    """Returns the right part of a row: a bar during training, the voices afterwards."""
    wide = cells >= 46
    if topic.status == "pending":
        return line(("will be skipped" if wide else "to skip", "dim")) if topic.unwanted else ()
    if topic.status == "running":
        return _progress(state, topic, wide)
    if topic.verdict == "skipped":
        return line(("retry waits", "accent") if topic.again else (VERDICTS[topic.verdict].short, "dim"))
    values: list[Span] = []
    undone, now = topic.undone, topic.scores.get(FINAL)
    if now and not wide:
        then = number(topic.at_end.voice) if topic.at_end else NONE
        return ((then, ""), *_now(state, topic, now.voice))
    preferred = [topic.preference or PREFERENCE[0]] if topic.counted else []  # the foundation learns from rows alone
    for stage in (*([] if now and cells < ROOMY else [BASE]), *SUPERVISED, *preferred):
        score = topic.scores.get(stage)
        back = stage in undone
        values += [("⟲", "warn") if back else ("→", "dim")] if values else []
        text = number(score.voice) if score else NONE
        values.append((f"{text:>4}", "warn" if back else "" if score else "dim"))
    if now:
        values += _now(state, topic, now.voice)
    row = VERDICTS.get(topic.verdict) if topic.verdict else None
    word, role = ("retry", SIGNS["again"][1]) if topic.again else (row.short, row.role) if row else ("", "")
    return (*values, (f" {word:<{WORD}}", role)) if wide else tuple(values)


def _now(state: RunState, topic: TopicState, voice: float) -> Line:
    """Returns the voice in the final exam. It is a warning if the topic has been forgotten."""
    gone = state.examined is not None and topic.info.id in state.examined.forgotten
    return line((" · now ", "dim"), (number(voice), "warn" if gone else ""))


def _progress(state: RunState, topic: TopicState, wide: bool) -> Line:
    run = state.phase_of(topic.info.id)
    if run is None:
        return line(("scoring", "accent"))
    done = run.last.step if run.last else 0
    if run.steps and done >= run.steps:
        return line((f"{PHASES[run.phase].label} done, scoring", "accent"))
    drawn = f" ▕{bar(done, run.steps, 10)}▏" if wide else ""
    return line((PHASES[run.phase].label, "accent"), drawn, f" {done}/{run.steps}")
