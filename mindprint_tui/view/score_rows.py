"""Rows of a topic's scores, in the order of the screen and the report."""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from engine.contract.journal.events import Evaluated
from engine.contract.vocabulary import COMPOSED, SCORES, score_label
from mindprint_tui.view.text import Interval, count_of, number

LEARNED = ("voice", "style", "closeness", "loops", "void", "relevance", "language_loss")
COUNTS = ("loops", "void")  # counts of answers
REST = ("concepts", "preference_accuracy", "heldout_margin")
CLAIMS = "Voice is about voice, closeness about subject. Whether one answer makes sense is for you or a judge to say."


def demanded(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the thresholds that demand something. A threshold of 0 is always reached."""
    return {name: limit for name, limit in limits.items() if limit != 0}


class ScoreLine(NamedTuple):
    """A row of the table.

    A row is a `score`, a marker group of the voice (`part`), a `count` of answers, or held-out `pairs`.
    """

    kind: Literal["score", "part", "count", "pairs"]
    name: str
    label: str
    short: str


def learned(scores: Sequence[Evaluated]) -> bool:
    """Returns True if these scores come from the learned style."""
    return any(score.learned for score in scores)


def score_lines(scores: Sequence[Evaluated], held: Container[str]) -> list[ScoreLine]:
    """Returns the rows of the scores that were measured. `held` has the names of scores with a threshold.

    Under the learned style, accuracy is a row only if it has a threshold and closeness has none. Closeness is the
    better measure.
    """
    parts = [
        ScoreLine("part", name, score_label(name), score_label(name))
        for name in dict.fromkeys(part for score in scores for part in score.components)
    ]
    lines: list[ScoreLine] = []
    if not learned(scores):
        for name, row in SCORES.items():
            lines += [_line(name)] if row.summarized and _measured(scores, name) else []
            lines += parts if name == COMPOSED else []
        return [_pairs(scores) if each.name == "preference_accuracy" else each for each in lines]
    for name in LEARNED:
        if name in COUNTS:
            lines.append(ScoreLine("count", name, name, name))
        elif _measured(scores, name):
            lines.append(_line(name))
    lines += parts
    if "accuracy" in held and "closeness" not in held:
        lines.append(_line("accuracy"))
    lines += [_line(name) for name in REST if _measured(scores, name)]
    return [_pairs(scores) if each.name == "preference_accuracy" else each for each in lines]


def _line(name: str) -> ScoreLine:
    return ScoreLine("score", name, SCORES[name].label, SCORES[name].short)


def _pairs(scores: Sequence[Evaluated]) -> ScoreLine:
    """Returns the row of held-out pairs: a count if the engine reported their number, else a share."""
    if any(score.heldout_pairs for score in scores):
        return ScoreLine("pairs", "preference_accuracy", "preferred pairs", "preferred")
    return _line("preference_accuracy")


def _measured(scores: Sequence[Evaluated], name: str) -> bool:
    return any(getattr(score, name) is not None for score in scores)


def value_of(score: Evaluated, row: ScoreLine) -> float | None:
    """Returns the value of a row. For a count it is the number of counted answers."""
    found = score.components.get(row.name) if row.kind == "part" else getattr(score, row.name)
    return None if found is None else float(found)


def interval_of(score: Evaluated, row: ScoreLine) -> Interval | None:
    """Returns the 90 % interval of a score."""
    return score.intervals.get(row.name) if row.kind == "score" else None


def counted(score: Evaluated, row: ScoreLine) -> str:
    """Returns a count or held-out pairs as text: `1 of 3`. Without the number of pairs, returns their share."""
    if row.kind == "count":
        return count_of(int(getattr(score, row.name)), score.questions) if score.learned else number(None)
    if score.preference_accuracy is None or not score.heldout_pairs:
        return number(score.preference_accuracy)
    return count_of(round(score.preference_accuracy * score.heldout_pairs), score.heldout_pairs)


def reaches(value: float, interval: Interval | None, needed: float) -> bool | None:
    """Returns whether a score reaches its threshold, or None if the threshold is inside its interval."""
    if interval is not None and interval[0] < needed <= interval[1]:
        return None
    return value >= needed
