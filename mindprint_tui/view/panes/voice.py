"""The voice pane: one topic's scores stage by stage, what they had to reach, and the trend over topics."""

from engine.contract.journal.events import Evaluated
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.focus import Focus, selected
from mindprint_tui.view.panes.outline import Outline
from mindprint_tui.view.text import NONE, Line, Span, crop, fit, line, number, sparkline, wrap

STAGES = (("before", "before"), ("start", "start"), ("sft", "SFT"), ("dpo", "DPO"), ("reevaluated", "again"))
HEALTH = {"repeating": "repeats", "special_tokens": "specials"}
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
    stages = [(key, name) for key, name in STAGES if key in topic.scores]
    if topic.unwanted:
        lines.append(line(("it will be skipped when its turn comes", "warn")))
    if not stages:
        return [*lines, line(("This topic has no scores yet.", "dim"))]
    label = max(10, min(18, cells - COLUMN * len(stages) - NEEDS))
    lines.append((("".ljust(label), ""), *((f"{_head(topic, key, name):>{COLUMN}}", "bold") for key, name in stages)))
    scores = [topic.scores[key] for key, _ in stages]
    lines.append(_values("accuracy", [s.accuracy for s in scores], label, limits.get("accuracy")))
    lines.append(_values("voice", [s.voice for s in scores], label, limits.get("voice")))
    for name in dict.fromkeys(key for score in scores for key in score.components):
        lines.append(_values(f"  {name}", [s.components.get(name) for s in scores], label, None))
    lines.append(_values("combined", [s.combined for s in scores], label, None))
    lines += _rest(scores, label)
    if topic.reason:
        verdict = (topic.verdict or "").replace("_", " ")
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
    words = f"mean of {count} trained {number(mean)}{passes}  "
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


def _rest(scores: list[Evaluated], label: int) -> list[Line]:
    lines = []
    if any(score.concepts is not None for score in scores):
        lines.append(_values("concepts", [score.concepts for score in scores], label, None))
    if any(score.preference_accuracy is not None for score in scores):
        lines.append(_values("preference", [score.preference_accuracy for score in scores], label, None))
    if any(score.heldout_margin is not None for score in scores):
        texts = [f"{s.heldout_margin:+.3f}" if s.heldout_margin is not None else NONE for s in scores]
        lines.append(((fit("margin", label), "bold"), *((f"{text:>{COLUMN}}", "") for text in texts)))
    health = [(HEALTH.get(s.health, s.health), "ok" if s.health == "ok" else "bad") for s in scores]
    lines.append(((fit("health", label), "bold"), *((f"{word:>{COLUMN}}", role) for word, role in health)))
    if any(score.cut for score in scores):
        cuts = [f"{score.cut}/{score.questions}" for score in scores]
        lines.append(((fit("cut short", label), "bold"), *((f"{text:>{COLUMN}}", "warn") for text in cuts)))
    return lines
