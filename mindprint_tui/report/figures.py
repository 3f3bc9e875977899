"""Coordinates of loss curves and axes for SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mindprint_tui.journal.loss_curve import Series
from mindprint_tui.view.text import small

WIDTH, HEIGHT = 340, 150  # size of a curve in SVG units
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22
COLUMNS = 150  # the most points of a curve that are drawn


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve in its box.

    `line` and `band` are SVG path data, and `ticks` are (y, label). `bad` has the x of values that are not finite.
    """

    line: str
    band: str
    ticks: list[tuple[float, str]]
    last_step: int
    bad: list[float]
    end: tuple[float, float] | None
    held: str = ""


def curve(series: Series, held: Sequence[tuple[int, float]] = ()) -> Curve:
    """Returns the loss curve from step 1 to the last planned step.

    `held` are steps with their held-out loss, drawn as a second line. Spikes stay visible in the band between the
    lowest and highest values.
    """
    points, bad = _points(series)
    ends = [*(series.span or ()), *(value for _, value in held)]
    low, high = axis((min(ends), max(ends)) if ends else None)
    second = [(_x(series.place(step), series.width), _y(value, low, high)) for step, value in held]
    shown = [(x, _y(a, low, high), _y(b, low, high)) for x, a, b in points]
    middle = [(x, (a + b) / 2) for x, a, b in shown]
    there, back = [(x, b) for x, _, b in shown], [(x, a) for x, a, _ in reversed(shown)]
    ticks = [(_y(value, low, high), small(value)) for value in (low, (low + high) / 2, high)]
    end = middle[-1] if middle else None
    return Curve(_path(middle), _path(there + back) + "Z" if shown else "", ticks, series.of, bad, end, _path(second))


def axis(span: tuple[float, float] | None) -> tuple[float, float]:
    """Returns round limits around a span."""
    low, high = span if span is not None else (0.0, 1.0)
    size = max(high - low, abs(high) * 0.05, 1e-9)
    step = 10 ** math.floor(math.log10(size))
    step = step / 2 if size / step < 4 else step
    return math.floor(low / step) * step, math.ceil(high / step + 1e-9) * step


def _points(series: Series) -> tuple[list[tuple[float, float, float]], list[float]]:
    """Returns (x, lowest, highest) by column, and the x of every column with a non-finite value."""
    columns: dict[int, tuple[float, float]] = {}
    bad: set[int] = set()
    count = min(series.width, COLUMNS)
    for place, bucket in series.buckets.items():
        column = place * count // series.width
        if bucket.bad:
            bad.add(column)
        if not math.isnan(bucket.low):
            low, high = columns.get(column, (bucket.low, bucket.high))
            columns[column] = (min(low, bucket.low), max(high, bucket.high))

    shown = [(_x(column, count), *columns[column]) for column in sorted(columns)]
    return shown, [_x(column, count) for column in sorted(bad)]


def _x(column: int, count: int) -> float:
    share = column / (count - 1) if count > 1 else 0.5
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _path(points: list[tuple[float, float]]) -> str:
    return "".join(f"{'L' if place else 'M'}{x:g} {y:g}" for place, (x, y) in enumerate(points))
