"""Chart of a curve in braille dots, two by four per cell.

The x-axis is fixed, from step 1 to the last planned step.
"""

import math
from typing import NamedTuple

from mindprint_tui.journal.loss_curve import Series
from mindprint_tui.view.text import Line, Span, small

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BEST = "★"  # the best step
LABEL = 5  # width of a y label
LARGEST = 3.5e38  # no float32 is larger; a larger value from a damaged line is drawn at the edge


class Overlay(NamedTuple):
    """A second line: (step, value) in order, and the step to mark, if its value is among them."""

    points: list[tuple[int, float]]
    marked: int | None = None


def chart(series: Series, cells: int, rows: int, log: bool, overlay: Overlay | None = None) -> list[Line]:
    """Returns `rows` lines of `cells` cells: y labels, the curve, and × at values that are not finite.

    The overlay has another colour, and its marked point is a ★.
    """
    room = max(4, cells - LABEL - 1)
    overlay = overlay or Overlay([])
    values = [value for _, value in overlay.points]
    ends = [*(series.span or ()), *values]
    span = _axis((min(ends), max(ends)) if ends else None, log)
    grid = [[0] * room for _ in range(rows)]
    spikes: set[int] = set()
    previous: tuple[int, int] | None = None
    for place in sorted(series.buckets):
        bucket = series.buckets[place]
        x = (place * (room * 2 - 1)) // max(1, series.width - 1) if series.width > 1 else 0
        if bucket.bad:
            spikes.add(x // 2)
        if math.isnan(bucket.low):
            continue
        low, high = (_height(value, span, rows * 4, log) for value in (bucket.low, bucket.high))
        _vertical(grid, x, low, high)
        if previous is not None:
            _connect(grid, previous, (x, (low + high) // 2))
        previous = (x, (low + high) // 2)
    second = [[0] * room for _ in range(rows)]
    star: tuple[int, int] | None = None
    previous = None
    for step, value in overlay.points:
        x = (series.place(step) * (room * 2 - 1)) // max(1, series.width - 1)
        y = _height(value, span, rows * 4, log)
        _connect(second, previous or (x, y), (x, y))
        _dot(second, x, y)
        previous = (x, y)
        if step == overlay.marked:
            star = (x // 2, y // 4)
    lines = [_row(grid, y, rows, span, spikes) for y in range(rows)]
    return [_over(text, second[y], star[0] if star and star[1] == y else None) for y, text in enumerate(lines)]


def _over(text: Line, dots: list[int], star: int | None) -> Line:
    """Returns a row of the chart with the overlay's dots and star in place of what is there."""
    if star is None and not any(dots):
        return text
    label, rest = text[0], [(sign, role) for part, role in text[1:] for sign in part]
    for x, cell in enumerate(dots):
        if cell:
            rest[x] = (chr(0x2800 + cell), "ok")
    if star is not None:
        rest[star] = (BEST, "bold")
    merged: list[Span] = [label]
    for sign, role in rest:
        if len(merged) > 1 and merged[-1][1] == role:
            merged[-1] = (merged[-1][0] + sign, role)
        else:
            merged.append((sign, role))
    return tuple(merged)


def _row(grid: list[list[int]], y: int, rows: int, span: tuple[float, float], spikes: set[int]) -> Line:
    value = span[1] if y == 0 else span[0] if y == rows - 1 else None
    label = f"{small(value)[:LABEL]:>{LABEL}}┤" if value is not None else " " * LABEL + "│"
    dots = "".join(chr(0x2800 + cell) if cell else " " for cell in grid[y])
    if y > 0 or not spikes:
        return ((label, "dim"), (dots, "accent"))
    marked: list[Span] = [(label, "dim")]
    begin = 0
    for x in sorted(spikes):
        marked += [(dots[begin:x], "accent"), ("×", "bad")]
        begin = x + 1
    return (*marked, (dots[begin:], "accent"))


def _axis(span: tuple[float, float] | None, log: bool) -> tuple[float, float]:
    """Returns round limits, so that a new value seldom moves the whole curve."""
    low, high = (min(LARGEST, max(-LARGEST, end)) for end in (span or (0.0, 1.0)))
    if log and low > 0:
        return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)
    size = max(high - low, abs(high) * 0.05, 1e-9)
    step = 10 ** math.floor(math.log10(size))
    step = step / 2 if size / step < 4 else step
    return math.floor(low / step) * step, math.ceil(high / step + 1e-9) * step


def _height(value: float, span: tuple[float, float], dots: int, log: bool) -> int:
    low, high = span
    if log and low > 0:
        value, low, high = math.log(value), math.log(low), math.log(high)
    share = (value - low) / (high - low) if high > low else 0.5
    return min(dots - 1, max(0, round((1 - share) * (dots - 1))))


def _dot(grid: list[list[int]], x: int, y: int) -> None:
    grid[y // 4][x // 2] |= DOTS[y % 4][x % 2]


def _vertical(grid: list[list[int]], x: int, first: int, last: int) -> None:
    for y in range(min(first, last), max(first, last) + 1):
        _dot(grid, x, y)


def _connect(grid: list[list[int]], start: tuple[int, int], end: tuple[int, int]) -> None:
    (x0, y0), (x1, y1) = start, end
    for x in range(x0 + 1, x1):
        _dot(grid, x, round(y0 + (y1 - y0) * (x - x0) / (x1 - x0)))
