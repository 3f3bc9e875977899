"""Scores the texts of a file: returns each row with its parts, and means with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.intervals import mean_estimate, pooled_spread
from engine.contract.wording import short
from engine.data.curriculum import Curriculum
from engine.data.sources.read import read_file
from engine.evaluation.score.answer_score import AnswerScore
from engine.evaluation.score.scorer import Answer
from engine.evaluation.scoring import Scoring

FIELDS = {"topic": True, "question": True, "answer": True, "reference": False}  # True: required
MEANS = ("voice", "closeness", "relevance", "style")


@dataclass(frozen=True, slots=True)
class FileText:
    """A row to be scored; `where` is file:line."""

    where: str
    answer: Answer


def read_texts(file: Path, curriculum: Curriculum) -> list[FileText]:
    """Reads rows. A row without a reference gets the curriculum's reference if its question is known there.

    Raises InputError with file, line and field.
    """
    topics = [*curriculum.topics, *curriculum.further]
    known = {(topic.id, item.question): item.reference for topic in topics for item in topic.questions}
    found = []
    for where, row in read_file(file):
        if isinstance(row, InputError):
            raise row
        for name, needed in FIELDS.items():
            value = row.get(name)
            if not isinstance(value, str) and (needed or value is not None):
                raise InputError(f"{where}: {name}: found {short(value)}, expected text")
        topic, question = row["topic"], row["question"]
        if not question.strip():
            raise InputError(f"{where}: question: found nothing, expected text")
        reference = row.get("reference") or known.get((topic, question))
        found.append(FileText(where, Answer(topic, question, row["answer"], reference)))
    if not found:
        raise InputError(f"{file}: no rows; each is an object with topic, question and answer")
    return found


def report(scoring: Scoring, texts: Sequence[FileText]) -> dict[str, Any]:
    """Scores all texts together. Returns `rows`, their means by topic (`topics`), and the means of all rows (`all`)."""
    try:
        scores = scoring.score([text.answer for text in texts])
    except InputError as error:
        raise InputError(f"{texts[0].where.rpartition(':')[0]}: {error}") from error
    rows = [_row(text, score) for text, score in zip(texts, scores, strict=True)]
    topics: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        topics.setdefault(row["topic"], []).append(row)
    means = {topic: _means(group, topics) for topic, group in topics.items()}
    return {"rows": rows, "topics": means, "all": _means(rows, topics)}


def _row(text: FileText, score: AnswerScore) -> dict[str, Any]:
    answer = text.answer
    return {
        "where": text.where,
        "topic": answer.topic,
        "question": answer.question,
        "answer": answer.text,
        "voice": score.voice,
        "style": score.style.value,
        "closeness": score.closeness,
        "relevance": score.relevance,
        "healthy": score.healthy,
        "void": score.void,
        "unlikely": score.unlikely,
        "violations": [*dict(score.violations.confused), *score.violations.avoided],
        "passes": score.passes,
        "reason": score.reason,
        "clauses": [{"text": clause.text, "probability": clause.probability} for clause in score.style.clauses],
    }


def _means(rows: Sequence[Mapping[str, Any]], topics: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Returns each mean with its 90 % interval. The spread is pooled over the topics.

    The interval is None if no topic has two rows.
    """
    found: dict[str, Any] = {"n": len(rows), "passes": sum(row["passes"] for row in rows)}
    for name in MEANS:
        values = [row[name] for row in rows if row[name] is not None]
        if not values:
            found[name] = None
            continue
        groups = [[row[name] for row in group if row[name] is not None] for group in topics.values()]
        each = mean_estimate(values, pooled_spread(groups))
        known = math.isfinite(each.low)
        found[name] = {"mean": each.mean, "interval": [each.low, each.high] if known else None, "n": each.n}
    return found
