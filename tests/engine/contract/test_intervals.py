"""Intervals hold what they promise, and a verdict by luck is rare."""

import math
import random

import pytest
from scipy.special import stdtrit

from engine.contract.intervals import (
    Spread,
    count_interval,
    decide,
    mean_estimate,
    paired_change,
    pooled_spread,
    student_t,
    worse,
)


def test_the_quantile_is_that_of_the_tables():
    assert [round(student_t(freedom), 3) for freedom in (1, 2, 5, 30)] == [6.314, 2.92, 2.015, 1.697]
    with pytest.raises(ValueError):
        student_t(0)
    for freedom in range(1, 200):
        assert student_t(freedom) == pytest.approx(stdtrit(freedom, 0.95), rel=1e-3)


def test_the_spread_is_pooled_within_topics():
    assert pooled_spread([[0.0, 2.0], [10.0, 12.0], [5.0]]) == Spread(math.sqrt(2), 2)
    assert pooled_spread([[1.0], [2.0]]) is None


def test_a_mean_shows_its_interval_and_its_number():
    assert str(mean_estimate([0.6, 0.7, 0.8], Spread(0.2, 100))) == "0.70 ± 0.19 (3)"
    assert str(mean_estimate([0.7])) == "0.70 (1)"
    assert decide(mean_estimate([0.7]), 0.5) == "undecided"
    with pytest.raises(ValueError):
        mean_estimate([])


def test_a_change_is_paired():
    before, after = [0.1, 0.5, 0.9], [0.2, 0.6, 1.0]
    assert paired_change(before, after).low == pytest.approx(0.1)
    assert worse(paired_change(after, before), 0.05) and not worse(paired_change(after, before), 0.2)
    assert not worse(mean_estimate([-0.9, 0.3, -0.2]), 0.1)


def test_counts_have_wilsons_interval():
    low, high = count_interval(1, 2)
    assert (round(low, 2), round(high, 2)) == (0.12, 0.88)
    assert count_interval(0, 28)[0] == 0 and count_interval(28, 28)[1] == 1
    assert count_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError):
        count_interval(3, 2)


def simulate(true, spread, runs=400, topics=28, questions=3, threshold=0.5, seed=1):
    """The share of topics whose verdict is decided, and decided against their true mean."""
    rng, wrong, decided, total = random.Random(seed), 0, 0, 0
    for _ in range(runs):
        groups = [[min(1.0, max(0.0, rng.gauss(true, spread))) for _ in range(questions)] for _ in range(topics)]
        pooled = pooled_spread(groups)
        for group in groups:
            verdict = decide(mean_estimate(group, pooled), threshold)
            total += 1
            decided += verdict != "undecided"
            wrong += verdict == ("below_threshold" if true >= threshold else "passed")
    return decided / total, wrong / total


@pytest.mark.parametrize("true", [0.3, 0.45, 0.49, 0.5, 0.55, 0.7, 0.9])
@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_a_verdict_by_luck_is_rare(true, spread):
    decided, wrong = simulate(true, spread, runs=60)
    assert wrong <= 0.06  # 5 % at the threshold itself, and the spread of 1,680 draws
    if abs(true - 0.5) >= 0.2 and spread == 0.1:
        assert decided > 0.9
