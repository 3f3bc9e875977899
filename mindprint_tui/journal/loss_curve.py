"""The points of one curve in bounded memory: the smallest and largest value of each bucket, so that spikes survive."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

BUCKETS = 1024  # of a curve; with at most so many planned steps each step has its own


class Bucket(Struct, frozen=True, gc=False):
    """What a few neighbouring steps had; `low` and `high` are NaN where none of them was finite."""

    first_seq: int
    low: float
    high: float
    last: float
    bad: int  # points that were not finite


@dataclass(frozen=True, slots=True)
class Series:
    """A curve over steps 1 to `of`. Buckets are in the order of their steps."""

    of: int
    buckets: dict[int, Bucket] = field(default_factory=dict)

    def add(self, points: Iterable[tuple[int, int, float]]) -> "Series":
        """With points (seq, step, value); a value that is not finite is counted and never drawn."""
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
        """Without what came after `seq`; a bucket that had begun by then stays as it is."""
        return Series(self.of, {place: bucket for place, bucket in self.buckets.items() if bucket.first_seq <= seq})

    def place(self, step: int) -> int:
        """The bucket of a step."""
        inside = min(max(step, 1), self.of) - 1
        return inside if self.of <= BUCKETS else inside * BUCKETS // self.of

    @property
    def width(self) -> int:
        """How many buckets the whole axis has."""
        return min(max(self.of, 1), BUCKETS)

    @property
    def bad(self) -> int:
        return sum(bucket.bad for bucket in self.buckets.values())

    @property
    def span(self) -> tuple[float, float] | None:
        """The smallest and largest finite value, None where there is none."""
        lows = [bucket.low for bucket in self.buckets.values() if not math.isnan(bucket.low)]
        highs = [bucket.high for bucket in self.buckets.values() if not math.isnan(bucket.high)]
        return (min(lows), max(highs)) if lows else None


def _merge(seen: Bucket, value: float) -> Bucket:
    if not math.isfinite(value):
        return replace(seen, last=value, bad=seen.bad + 1)
    if math.isnan(seen.low):
        return replace(seen, low=value, high=value, last=value)
    return replace(seen, low=min(seen.low, value), high=max(seen.high, value), last=value)
