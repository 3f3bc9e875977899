"""Paired changes and intervals out of the answers of a run so far."""

import math

import pytest

from engine.contract.journal.events import Evaluated, Sample
from engine.evaluation import estimates
from engine.runtime.score_log import ScoreLog


def said(log: ScoreLog, topic: str, stage: str, *voices: float, relevance: float = 0.5, gaps=()) -> None:
    scores = [{"voice": voice, "closeness": 0.5, "relevance": relevance} for voice in voices]
    samples = [Sample(topic, stage, f"q{n}", "r", "a", 1, "eos", (), (), each) for n, each in enumerate(scores)]
    found = Evaluated(topic, stage, 0.5, 0.5, 0.5, {}, None, "ok", 1.0, questions=len(samples), heldout_gaps=gaps)
    log.add(found, samples)


def test_changes_are_paired_and_their_spread_is_that_of_all_topics() -> None:
    log = ScoreLog()
    said(log, "a", "before", 0.0, 0.2)
    said(log, "a", "sft", 0.5, 0.7)
    assert estimates.changes(log, "a", "before", "sft")["voice"].half_width == pytest.approx(0.0, abs=1e-9)
    said(log, "b", "start", 0.5, 0.5)
    said(log, "b", "sft", 0.6, 1.0, relevance=0.1)
    found = estimates.changes(log, "b", "start", "sft")
    assert found["voice"].mean == pytest.approx(0.3) and found["combined"].mean == pytest.approx(0.15)
    assert found["relevance"].mean == pytest.approx(-0.4)
    spread = math.sqrt(2 * 0.2**2 / 2)  # of b alone, over the two degrees of freedom of both
    assert found["voice"].half_width == pytest.approx(2.92 * spread / math.sqrt(2), rel=1e-3)


def test_relevance_is_not_compared_with_the_base_models_own_answers() -> None:
    """They are its likeliest ones: every voice falls behind them, and each first topic would be rolled back."""
    log = ScoreLog()
    said(log, "a", "before", 0.0, 0.2, relevance=0.9)
    said(log, "a", "sft", 0.5, 0.7, relevance=0.1)
    assert "relevance" not in estimates.changes(log, "a", "before", "sft")


def test_the_margin_is_that_of_each_pair() -> None:
    log = ScoreLog()
    assert estimates.margin(log, "a", 0.1) is None
    said(log, "a", "sft", 0.5, gaps=(-10.0, -30.0))
    said(log, "a", "dpo", 0.5, gaps=(-8.0, -26.0))
    found = estimates.margin(log, "a", 0.1)
    assert found is not None and found.mean == pytest.approx(0.3) and found.n == 2
