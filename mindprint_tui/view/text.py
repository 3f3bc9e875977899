"""Styled text of a given width, and numbers formatted for people."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from rich.cells import cell_len, set_cell_size

from engine.contract.intervals import mean_estimate
from mindprint_tui.journal.sanitize import one_line

Span = tuple[str, str]  # text, and its role: "" plain, dim, bold, ok, warn, bad, accent, title, breach, cursor
Line = tuple[Span, ...]
NONE = "–"
Interval = tuple[float, float]  # the ends of a 90 % interval


def line(*parts: str | Span) -> Line:
    """Returns a line from plain texts and (text, role) pairs. A newline inside a text is shown as ⏎."""
    spans = [(part, "") if isinstance(part, str) else part for part in parts]
    return tuple([(one_line(text), role) for text, role in spans if text])


def width(spans: Line) -> int:
    """Returns the width of a line in cells."""
    return sum(cell_len(text) for text, _ in spans)


def fit(text: str, cells: int) -> str:
    """Returns a text of exactly `cells` cells, padded or cut with an ellipsis."""
    text = one_line(text)
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    return set_cell_size(text, cells - 1) + "…" if cells > 0 else ""


def shorten(text: str, cells: int) -> str:
    """Returns a text of at most `cells` cells."""
    text = one_line(text)
    return text if cell_len(text) <= cells else fit(text, cells).rstrip()


def crop(spans: Line, cells: int) -> Line:
    """Returns at most `cells` cells of a line. A cut line ends in an ellipsis."""
    if width(spans) <= cells:
        return spans
    kept: list[Span] = []
    room = cells - 1
    for text, role in spans:
        size = cell_len(text)
        if size > room:
            if room == 0 and kept and kept[-1][0].endswith("…"):
                return tuple(kept)
            return (*kept, (set_cell_size(text, room) + "…", role)) if cells > 0 else ()
        kept.append((text, role))
        room -= size
    return tuple(kept)


def beside(left: Line, right: Line, cells: int) -> Line:
    """Returns one line with a left and a right end. If it is too long, the left end is cut."""
    room = cells - width(right)
    if room < 4:
        return crop(right, cells)
    left = crop(left, room - 1)
    return (*left, (" " * (room - width(left)), ""), *right)


def wrap(text: str, cells: int, indent: str = "") -> list[str]:
    """Returns lines of at most `cells` cells, cut between words if possible. All but the first are indented."""
    cells = max(cells, cell_len(indent) + 4)  # a pane may have no width yet
    lines: list[str] = []
    for paragraph in text.split("\n"):
        current = "" if not lines else indent
        for word in paragraph.split(" "):
            glue = " " if current.strip() else ""
            if cell_len(current) + len(glue) + cell_len(word) <= cells:
                current += glue + word
                continue
            if current.strip():
                lines.append(current)
                current = indent
            while cell_len(current) + cell_len(word) > cells:
                room = max(1, cells - cell_len(current))
                piece = _take(word, room)
                lines.append(current + piece)
                word, current = word[len(piece) :], indent
            current += word
        lines.append(current)
    return lines


def _take(word: str, room: int) -> str:
    size = 0
    for place, char in enumerate(word):
        size += cell_len(char)
        if size > room:
            return word[: max(1, place)]
    return word


def number(value: float | None, digits: int = 2) -> str:
    """Returns a score as text: – for None, and nan or inf for a value that is not finite."""
    if value is None:
        return NONE
    return f"{value:.{digits}f}" if math.isfinite(value) else str(value)


def margin(value: float | None, interval: Interval | None) -> float | None:
    """Returns half the width of an interval, or None if there is none.

    Takes the longer side, because a score's interval is cut at 0 and 1.
    """
    if value is None or interval is None:
        return None
    half = max(interval[1] - value, value - interval[0])
    return half if math.isfinite(half) else None


def estimate(value: float | None, interval: Interval | None, n: int = 0) -> str:
    """Returns a mean with its 90 % interval and number of values, if known: `0.70 ± 0.21 (3)`."""
    half = margin(value, interval)
    count = f" ({n})" if n and half is not None else ""
    return brief(value, interval).replace("±", " ± ") + count


def brief(value: float | None, interval: Interval | None, signed: bool = False) -> str:
    """Returns a mean with its interval in as few cells as possible: `0.70±0.21`."""
    half = margin(value, interval)
    text = number(value) if not signed or value is None or not math.isfinite(value) else f"{value:+.2f}"
    return text if half is None else f"{text}±{half:.2f}"


def count_of(count: int, of: int) -> str:
    """Returns a share of a small number as a count: `1 of 2`, never 0.50."""
    return f"{count} of {of}"


def mean_of(values: Sequence[float], sure: bool = True) -> tuple[float | None, Interval | None]:
    """Returns the mean of values, and its interval if `sure` is set and there are two or more values.

    If all values lie between 0 and 1, the interval is cut there.
    """
    if not values:
        return None, None
    if not sure or len(values) < 2 or not all(map(math.isfinite, values)):
        return fmean(values), None
    found = mean_estimate(values)
    if all(0 <= value <= 1 for value in values):
        return found.mean, (max(0.0, found.low), min(1.0, found.high))
    return found.mean, (found.low, found.high)


def small(value: float | None) -> str:
    """Returns a number with three digits, or two with an exponent if it is very small or large."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def ordinal(count: int) -> str:
    """Returns an ordinal number: 1st, 2nd, 3rd, 4th, 11th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{'th' if count // 10 % 10 == 1 else ending}"


def clock(seconds: float) -> str:
    """Returns a time as hours, minutes and seconds."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def about(seconds: float) -> str:
    """Returns a length of time in its largest unit, rounded: 40 s, 24 min, 5.1 h, 3 days."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{round(seconds / 86400)} days"


def bar(done: int, of: int, cells: int) -> str:
    """Returns a progress bar of whole cells."""
    full = min(cells, cells * done // of) if of > 0 else 0
    return "█" * full + "░" * (cells - full)


def sparkline(values: Sequence[float], cells: int) -> str:
    """Returns a sparkline: the mean of each section as one of eight heights between 0 and 1."""
    if not values or cells < 1:
        return ""
    count = min(len(values), cells)
    stretches = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(part) / len(part) for part in stretches]
    return "".join("▁▂▃▄▅▆▇█"[int(min(7.0, max(0.0, value * 8)))] for value in means)


def join(parts: Iterable[Line], glue: Span = (" · ", "dim")) -> Line:
    """Joins lines with `glue` between those that are not empty."""
    joined: list[Span] = []
    for part in parts:
        if part:
            joined += [glue, *part] if joined else part
    return tuple(joined)
