"""Columns of a report with the answers to one question: marked text and notes."""

from collections.abc import Mapping
from typing import Any

from engine.contract.journal.events import Sample
from engine.contract.journal.judge_file import Judgement
from engine.contract.vocabulary import STAGES, Stage
from mindprint_tui.view.pages.judge import answer_marks
from mindprint_tui.view.pages.samples import NOT_JUDGED, SHOWN, Question, by_clause, faults, pieces, scores_of, wrongs
from mindprint_tui.view.text import number

LONGEST = 1500  # characters of an answer that are shown
MARKS = {"": "", "own": "own", "other": "other", "marker": "good", "telling": "good", "violation": "bad"}


def side_by_side(
    question: Question, left_out: tuple[Stage, ...], undone: Mapping[str, str], judged: Judgement = NOT_JUDGED
) -> dict[str, Any]:
    """Returns the question with one column for the reference and one for each stage's answer.

    `undone` maps stages that were not kept to the reason.
    """
    columns: list[dict[str, Any]] = [
        {"name": "Reference", "parts": [(_cut(question.reference), "")], "notes": [], "colour": "reference"}
    ]
    for key, row in STAGES.items():
        if (sample := question.answers.get(key)) is None or key in left_out:
            continue
        notes = [(f"{sample.tokens} tokens", "")]
        notes += [("cut at the token limit", "warn")] if sample.stop == "length" else []
        notes += faults(sample)
        notes += [(undone[key], "warn")] if key in undone else []
        notes += [(f"{n} {number(value)}", "") for n, value in scores_of(sample) if n in SHOWN and value is not None]
        notes += [(by_clause(sample), "")] if sample.clauses else []
        notes += [(text, "bad") for text in wrongs(sample)]
        notes += [(marks, "")] if (marks := answer_marks(judged, question.text, sample.answer)) else []
        name = row.label[0].upper() + row.label[1:]
        columns.append({"name": name, "parts": _parts(sample), "notes": notes, "colour": row.colour})
    return {"text": question.text, "columns": columns}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… (+{len(text) - LONGEST:,} characters)"


def _parts(sample: Sample) -> list[tuple[str, str]]:
    """Returns the answer in pieces, each with the CSS class of its mark."""
    text = _cut(sample.answer) if sample.answer.strip() else "(empty)"
    return [(piece, MARKS[kind]) for piece, kind in pieces(text, sample)]
