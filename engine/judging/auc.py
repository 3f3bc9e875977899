"""The AUC of marks, with its interval: how often a text that deserves a high mark has the higher one."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from engine.contract.intervals import CONFIDENCE

STEPS = 60  # halvings of a bisection


def auc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    """Returns the share of pairs in which the good side is higher; equal marks count half. None without a pair."""
    if not good or not bad:
        return None
    won = sum((high > low) + (high == low) / 2 for high in good for low in bad)
    return won / (len(good) * len(bad))


def auc_interval(share: float, good: int, bad: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns the score interval of an AUC from this many values of each side.

    It is method 5 of R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2", Statistics in Medicine 25 (2006), 559-573. It has a width even for an AUC of 0 or 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def beyond(true: float) -> bool:
        return abs(share - true) > z * math.sqrt(_variance(true, good, bad))

    return _end(share, 0.0, beyond), _end(share, 1.0, beyond)


def _variance(true: float, good: int, bad: int) -> float:
    more = (good + bad) / 2 - 1
    spread = 1 + more * (1 - true) / (2 - true) + more * true / (1 + true)
    return true * (1 - true) * spread / (good * bad)


def _end(inside: float, outside: float, beyond: Callable[[float], bool]) -> float:
    """Returns where the values from `inside` to `outside` begin to be beyond the interval."""
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return inside
