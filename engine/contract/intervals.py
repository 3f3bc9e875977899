"""90 % intervals of means, changes and counts, and verdicts that may be `undecided`.

Means use Student's t with the spread pooled over groups (topics). s^2 is the sum of squared deviations from group
means, divided by the sum of (n_g - 1). The half-width is t * s / sqrt(n). Counts use the score interval of E. B.
Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927), 209-212.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

CONFIDENCE = 0.90
UNIFORM_VARIANCE = 1 / 12  # of a value that is equally likely anywhere from 0 to 1
Verdict: TypeAlias = Literal["passed", "below_threshold", "undecided"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, the ends of its interval and the number of values; the ends are NaN if no spread is known."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """The distance from the mean to the further end; an interval that was cut at 0 or 1 is not symmetric."""
        return max(self.mean - self.low, self.high - self.mean)

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.mean:.2f} ({self.n})"
        return f"{self.mean:.2f} ± {self.half_width:.2f} ({self.n})"


@dataclass(frozen=True, slots=True)
class Spread:
    """A standard deviation and its degrees of freedom."""

    deviation: float
    freedom: int


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread | None:
    """Pools the spread within groups; None if no group has two values."""
    freedom = sum(len(group) - 1 for group in groups if len(group) > 1)
    if not freedom:
        return None
    squares = 0.0
    for group in groups:
        if len(group) > 1:
            mean = math.fsum(group) / len(group)
            squares += math.fsum((value - mean) ** 2 for value in group)
    return Spread(math.sqrt(squares / freedom), freedom)


def share_spread(groups: Sequence[Sequence[float]]) -> Spread | None:
    """Pools the spread of values from 0 to 1, plus one degree of freedom of a uniform distribution (variance 1/12).

    The addition keeps three equal answers from counting as certain. Returns None if no group has two values.
    """
    found = pooled_spread(groups)
    if found is None:
        return None
    squares = found.freedom * found.deviation**2 + UNIFORM_VARIANCE
    return Spread(math.sqrt(squares / (found.freedom + 1)), found.freedom + 1)


def mean_estimate(values: Sequence[float], spread: Spread | None = None) -> Estimate:
    """Returns the mean of values with its interval; raises ValueError if there are no values.

    `spread` is pooled over the run. If it is None, the spread of the values themselves is used.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    mean = math.fsum(values) / len(values)
    spread = spread or pooled_spread([values])
    if spread is None:
        return Estimate(mean, math.nan, math.nan, len(values))
    half = student_t(spread.freedom) * spread.deviation / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def paired_change(before: Sequence[float], after: Sequence[float], spread: Spread | None = None) -> Estimate:
    """Returns the mean change of paired values; `spread` is the spread of changes, pooled over the run's topics."""
    return mean_estimate([new - old for old, new in zip(before, after, strict=True)], spread)


def count_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns Wilson's interval of the share hits / n, or (0, 1) if n is 0.

    Raises ValueError if hits is not from 0 to n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no count")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = hits / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == n else min(1.0, middle + half)


def decide(estimate: Estimate, threshold: float) -> Verdict:
    """Returns the verdict of an estimate; undecided if the threshold lies inside the interval or no spread is known."""
    if math.isnan(estimate.low) or estimate.low < threshold <= estimate.high:
        return "undecided"
    return "passed" if estimate.mean >= threshold else "below_threshold"


def worse(change: Estimate, tolerance: float) -> bool:
    """Tells whether a change is below -tolerance and its interval below 0."""
    return change.mean < -tolerance and change.high < 0


def student_t(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Returns the two-sided quantile of Student's t: exact for 1 and 2 degrees of freedom, else to 0.1 %.

    The expansion is from Fisher and Cornish, "The Percentile Points of Distributions Having Known Cumulants",
    Technometrics 2 (1960), 209-225. The console shows intervals too, so no numerical library is loaded for it.
    """
    if freedom < 1:
        raise ValueError("a quantile needs at least one degree of freedom")
    if freedom == 1:
        return math.tan(math.pi * confidence / 2)
    if freedom == 2:
        return confidence * math.sqrt(2 / (1 - confidence**2))
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return z + (
        (z**3 + z) / 4 / freedom
        + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / freedom**2
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / freedom**3
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160 / freedom**4
    )
