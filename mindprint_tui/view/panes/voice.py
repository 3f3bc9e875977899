"""The voice pane: one topic's scores stage by stage, what they had to reach, and the trend over topics."""

from typing import Any

from engine.contract.journal.events import Evaluated
from engine.contract.vocabulary import COMPOSED, HEALTH, SCORES, STAGES, VERDICTS, score_label
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.focus import Focus, selected
from mindprint_tui.view.panes.outline import Outline
from mindprint_tui.view.text import NONE, Line, Span, crop, fit, line, number, sparkline, wrap

COLUMN = 8
NEEDS = 13  # cells of what stands behind the columns


def voice_title(state: RunState, focus: Focus) -> str:
    topic = selected(state, focus)
    return f"Voice · {state.topics[topic].info.title}" if topic else "Voice"


def voice_lines(state: RunState, focus: Focus, outline: Outline, cells: int) -> list[Line]:
    """All lines; the pane shows as many as it has room for."""
    chosen = selected(state, focus)
    if chosen is None:
        return [line(("Scores come when the base model has answered.", "dim"))]
    topic = state.topics[chosen]
    limits = topic.held_to or state.settings("thresholds")
    lines = [_trend(outline, state.settings("thresholds"), cells)] if outline.trend else []
    stages = [(key, row.short) for key, row in STAGES.items() if key in topic.scores]
    if topic.unwanted:
        lines.append(line(("it will be skipped when its turn comes", "warn")))
    if not stages:
        return [*lines, line(("This topic has no scores yet.", "dim"))]
    label = max(10, min(18, cells - COLUMN * len(stages) - NEEDS))
    lines.append((("".ljust(label), ""), *((f"{_head(topic, key, name):>{COLUMN}}", "bold") for key, name in stages)))
    scores = [topic.scores[key] for key, _ in stages]
    lines += _figures(scores, label, limits)
    lines += _answers(scores, label)
    if topic.reason:
        verdict = VERDICTS[topic.verdict].label if topic.verdict else ""
        lines += [line((text, "dim")) for text in wrap(f"{verdict}: {topic.reason}", cells, "  ")]
    if topic.again:
        lines.append(line(("it waits for its retry", "accent")))
    return [crop(text, cells) for text in lines]


def _head(topic: TopicState, key: str, name: str) -> str:
    return f"⟲ {name}" if key in topic.undone else name


def _trend(outline: Outline, limits: dict[str, float], cells: int) -> Line:
    mean = sum(outline.trend) / len(outline.trend)
    needed = limits.get("voice")
    passes = f"  pass {number(needed)}" if isinstance(needed, float) else ""
    count = len(outline.trend)
    words = f"mean of {count} finished {number(mean)}{passes}  "
    return line((words, "dim"), (sparkline(outline.trend, min(40, cells - len(words))), "accent"))


def _values(name: str, values: list[float | None], label: int, needed: object) -> Line:
    spans: list[Span] = [(fit(name, label), "" if name.startswith(" ") else "bold")]
    for place, value in enumerate(values):
        mark = ""
        role = "" if value is not None else "dim"
        if isinstance(needed, float) and value is not None and place > 0:
            mark, role = ("✓", "ok") if value >= needed else ("✗", "warn")
        spans.append((f"{number(value) + mark:>{COLUMN}}", role))
    if isinstance(needed, float):
        spans.append((f"  needs {number(needed)}", "dim"))
    elif len(values) > 1 and values[0] is not None and values[-1] is not None:
        change = values[-1] - values[0]
        spans.append((f"  {'▲' if change > 0 else '▼' if change < 0 else '='} {change:+.2f}", "dim"))
    return tuple(spans)


def _figures(scores: list[Evaluated], label: int, limits: dict[str, Any]) -> list[Line]:
    """A row for each score that was measured, and for each part of a composed one."""
    lines: list[Line] = []
    for name, row in SCORES.items():
        values = [getattr(score, name) for score in scores]
        if not row.summarized or all(value is None for value in values):
            continue
        if row.signed:
            texts = [f"{value:+.3f}" if value is not None else NONE for value in values]
            lines.append(((fit(row.short, label), "bold"), *((f"{text:>{COLUMN}}", "") for text in texts)))
            continue
        lines.append(_values(row.short, values, label, limits.get(name) if row.gate else None))
        if name == COMPOSED:
            for part in dict.fromkeys(key for score in scores for key in score.components):
                values = [score.components.get(part) for score in scores]
                lines.append(_values(f"  {score_label(part)}", values, label, None))
    return lines


def _answers(scores: list[Evaluated], label: int) -> list[Line]:
    """Whether the answers are text at all, and were cut at the token limit."""
    lines: list[Line] = []
    health = [(HEALTH[s.health].short, "ok" if s.health == "ok" else "bad") for s in scores]
    lines.append(((fit("health", label), "bold"), *((f"{word:>{COLUMN}}", role) for word, role in health)))
    if any(score.cut for score in scores):
        cuts = [f"{score.cut}/{score.questions}" for score in scores]
        lines.append(((fit("cut short", label), "bold"), *((f"{text:>{COLUMN}}", "warn") for text in cuts)))
    return lines
