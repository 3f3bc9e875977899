"""Loss curve in bounded memory: the smallest and largest value of each bucket of steps.

Spikes stay visible, because each bucket keeps its extremes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

BUCKETS = 1024  # per curve; a curve with at most this number of planned steps has one bucket per step


class Bucket(Struct, frozen=True, gc=False):
    """Values of a few neighbouring steps. `low` and `high` are NaN if none of them was finite."""

    first_seq: int
    low: float
    high: float
    last: float
    bad: int  # points that were not finite


@dataclass(frozen=True, slots=True)
class Series:
    """A curve over steps 1 to `of`. `buckets` maps the bucket number to the bucket."""

    of: int
    buckets: dict[int, Bucket] = field(default_factory=dict)

    def add(self, points: Iterable[tuple[int, int, float]]) -> "Series":
        """Returns the curve with more points (seq, step, value). A non-finite value is counted, not drawn."""
        buckets = dict(self.buckets)
        each = self.of <= BUCKETS
        for seq, step, value in points:
            place = step - 1 if each and 0 < step <= self.of else self.place(step)
            seen = buckets.get(place)
            if seen is not None:
                buckets[place] = _merge(seen, value)
            elif math.isfinite(value):
                buckets[place] = Bucket(seq, value, value, value, 0)
            else:
                buckets[place] = Bucket(seq, math.nan, math.nan, value, 1)
        return Series(self.of, buckets)

    def until(self, seq: int) -> "Series":
        """Returns the curve without buckets that began after `seq`. Older buckets stay unchanged."""
        return Series(self.of, {place: bucket for place, bucket in self.buckets.items() if bucket.first_seq <= seq})

    def place(self, step: int) -> int:
        """Returns the bucket number of a step."""
        inside = min(max(step, 1), self.of) - 1
        return inside if self.of <= BUCKETS else inside * BUCKETS // self.of

    @property
    def width(self) -> int:
        """Number of buckets on the whole axis."""
        return min(max(self.of, 1), BUCKETS)

    @property
    def bad(self) -> int:
        return sum(bucket.bad for bucket in self.buckets.values())

    @property
    def span(self) -> tuple[float, float] | None:
        """The smallest and largest finite value, or None if there is none."""
        lows = [bucket.low for bucket in self.buckets.values() if not math.isnan(bucket.low)]
        highs = [bucket.high for bucket in self.buckets.values() if not math.isnan(bucket.high)]
        return (min(lows), max(highs)) if lows else None


def _merge(seen: Bucket, value: float) -> Bucket:
    if not math.isfinite(value):
        return replace(seen, last=value, bad=seen.bad + 1)
    if math.isnan(seen.low):
        return replace(seen, low=value, high=value, last=value)
    return replace(seen, low=min(seen.low, value), high=max(seen.high, value), last=value)
