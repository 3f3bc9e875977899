"""Preflight controls of the score: attacks made from the curriculum's rows, and texts that must pass."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from engine.contract.journal.store import read_journal
from engine.evaluation.score.controls import Control, attacks, run_controls
from engine.evaluation.scoring import Scoring, base_answers, scoring_of, texts_of
from engine.training.session import Session

MOST = 24  # texts per control, approximately


def measure_controls(session: Session) -> list[Control]:
    """Runs every control on the topics of the run. The base model's answers come from the journal."""
    base = base_answers(record.event for record in read_journal(session.run.journal))
    texts = texts_of(session.curriculum, base, topics=0)
    scoring = scoring_of(session)
    scoring = Scoring(scoring.scorer, dataclasses.replace(scoring.tools, relevance=False))
    found = attacks(texts, scoring.scorer.style.telling_words, MOST)
    return run_controls(found, scoring.score, has_base=scoring.scorer.likelihood is not None)


def as_rows(controls: Sequence[Control]) -> list[dict[str, Any]]:
    """Returns the controls as rows for the JSON report."""
    names = ("name", "kind", "passed", "n", "bound", "holds", "interval")
    return [{name: getattr(control, name) for name in names} for control in controls]


def control_warnings(controls: Sequence[Control]) -> list[str]:
    """Returns a sentence for each control that does not hold."""
    return [f"the score fails a control: {control}" for control in controls if not control.holds]
