"""The voice pane: one topic's scores by stage, their thresholds, and the trend over topics."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.contract.journal.events import Evaluated
from engine.contract.vocabulary import HEALTH, SCORES, STAGES, VERDICTS
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.focus import Focus, selected
from mindprint_tui.view.panes.log import fitted
from mindprint_tui.view.panes.outline import Outline
from mindprint_tui.view.score_rows import (
    CLAIMS,
    ScoreLine,
    counted,
    demanded,
    interval_of,
    learned,
    reaches,
    score_lines,
    value_of,
)
from mindprint_tui.view.text import (
    NONE,
    Interval,
    Line,
    Span,
    brief,
    crop,
    estimate,
    fit,
    line,
    margin,
    mean_of,
    number,
    sparkline,
    wrap,
)

COLUMN, WIDE = 8, 11  # width of a stage, without and with an interval after each number
NEEDS = 13  # width of the text after the columns
LEAST = 10  # least width of a score's name
SURE = ("voice", "closeness")  # scores whose intervals are also shown in narrow columns
MARKS: dict[bool | None, Span] = {True: ("✓", "ok"), False: ("✗", "warn"), None: ("?", "accent")}  # of a threshold


def voice_title(state: RunState, focus: Focus) -> str:
    topic = selected(state, focus)
    return f"Voice · {state.topics[topic].info.title}" if topic else "Voice"


def voice_lines(state: RunState, focus: Focus, outline: Outline, cells: int) -> list[Line]:
    """Returns all lines. The pane shows those that fit."""
    chosen = selected(state, focus)
    if chosen is None:
        return [line(("Scores come when the base model has answered.", "dim"))]
    topic = state.topics[chosen]
    limits = demanded(topic.held_to or state.settings("thresholds"))
    stages = [(key, row.short) for key, row in STAGES.items() if key in topic.scores]
    scores = [topic.scores[key] for key, _ in stages]
    new = learned(scores)
    lines = [_trend(outline, state.settings("thresholds"), cells, new)] if outline.trend else []
    if state.scorer is not None and not state.scorer.separable:
        lines += [line((text, "bad")) for text in wrap(fitted(state.scorer), cells, "  ")]
    if topic.unwanted:
        lines.append(line(("it will be skipped when its turn comes", "warn")))
    if not stages:
        return [*lines, line(("This topic has no scores yet.", "dim"))]
    wide = new and LEAST + WIDE * len(stages) <= cells
    table = _Table(scores, limits, cells, WIDE if wide else COLUMN, wide)
    counts = {score.questions for score in scores} if new else set()
    words = f"{counts.pop()} answers" if len(counts) == 1 else ""
    lines.append(table.row(words, [(_head(topic, key, name), "bold") for key, name in stages], "dim" if words else ""))
    for row in score_lines(scores, limits):
        lines += table.score(row)
    lines += _answers(table)
    if topic.reason:
        verdict = VERDICTS[topic.verdict].label if topic.verdict else ""
        lines += [line((text, "dim")) for text in wrap(f"{verdict}: {topic.reason}", cells, "  ")]
    if topic.again:
        lines.append(line(("it waits for its retry", "accent")))
    if new:
        lines += [line((text, "dim")) for text in wrap(CLAIMS, cells)]
    return [crop(text, cells) for text in lines]


def _head(topic: TopicState, key: str, name: str) -> str:
    return f"⟲ {name}" if key in topic.undone else name


def _trend(outline: Outline, limits: Mapping[str, float], cells: int, sure: bool) -> Line:
    mean, interval = mean_of(outline.trend, sure)
    needed = limits.get("voice")
    passes = f"  pass {number(needed)}" if isinstance(needed, float) else ""
    words = f"mean of {len(outline.trend)} finished {estimate(mean, interval)}{passes}  "
    return line((words, "dim"), (sparkline(outline.trend, min(40, cells - len(words))), "accent"))


class _Table:
    """The stages of a topic in columns. With `wide`, each number has its interval."""

    def __init__(
        self, scores: Sequence[Evaluated], limits: Mapping[str, Any], cells: int, column: int, wide: bool
    ) -> None:
        self.scores, self.limits, self.column, self.wide = scores, limits, column, wide
        self.room = not wide or cells - LEAST - column * len(scores) >= NEEDS  # whether text fits after the columns
        self.label = max(LEAST, min(18, cells - column * len(scores) - NEEDS))

    def row(self, name: str, values: Sequence[Span], role: str | None = None) -> Line:
        """Returns a row with a name and a value for each stage."""
        look = role if role is not None else "" if name.startswith(" ") else "bold"
        spans = [(f"{text:>{self.column}}", mood) for text, mood in values]
        return ((fit(name, self.label), look), *spans)

    def score(self, row: ScoreLine) -> list[Line]:
        """Returns a row of scores. A narrow pane shows the most important intervals in a row below."""
        if row.kind in ("count", "pairs"):
            warns = row.kind == "count"
            texts = [(counted(s, row), "warn" if warns and value_of(s, row) else "") for s in self.scores]
            return [self.row(row.short, texts)]
        values = [value_of(score, row) for score in self.scores]
        signed = row.name in SCORES and SCORES[row.name].signed
        if signed and not self.wide:
            return [self.row(row.short, [(f"{v:+.3f}" if v is not None else NONE, "") for v in values])]
        intervals = [interval_of(score, row) for score in self.scores]
        name = f"  {row.short}" if row.kind == "part" else row.short
        lines = [self._numbers(name, values, intervals, self.limits.get(row.name), signed)]
        halves = [margin(value, interval) for value, interval in zip(values, intervals, strict=True)]
        if not self.wide and row.name in SURE and any(half is not None for half in halves):
            lines.append(self.row("  ±", [("" if half is None else f"±{half:.2f}", "dim") for half in halves], "dim"))
        return lines

    def _numbers(
        self,
        name: str,
        values: Sequence[float | None],
        intervals: Sequence[Interval | None],
        needed: object,
        signed: bool,
    ) -> Line:
        """Returns numbers with marks and, in wide columns, intervals.

        After them stands the threshold or, without one, the change.
        """
        spans: list[Span] = []
        for place, (value, interval) in enumerate(zip(values, intervals, strict=True)):
            mark, role = "", "" if value is not None else "dim"
            if isinstance(needed, float) and value is not None and place > 0:
                mark, role = MARKS[reaches(value, interval, needed)]
            spans.append((brief(value, interval if self.wide else None, signed) + mark, role))
        found = list(self.row(name, spans))
        if not self.room:
            return tuple(found)
        if isinstance(needed, float):
            found.append((f"  needs {number(needed)}", "dim"))
        elif len(values) > 1 and values[0] is not None and values[-1] is not None:
            change = values[-1] - values[0]
            found.append((f"  {'▲' if change > 0 else '▼' if change < 0 else '='} {change:+.2f}", "dim"))
        return tuple(found)


def _answers(table: _Table) -> list[Line]:
    """Returns the health of the answers, and how many were cut at the token limit."""
    scores = table.scores
    health = [(HEALTH[s.health].short, "ok" if s.health == "ok" else "bad") for s in scores]
    lines = [table.row("health", health)]
    if any(score.cut for score in scores):
        lines.append(table.row("cut short", [(f"{score.cut}/{score.questions}", "warn") for score in scores]))
    return lines
