"""A framed pane: a number and a title above, and below it how much of it is out of sight."""

from collections.abc import Sequence

from mindprint_tui.tui.widgets.lines import Lines
from mindprint_tui.view.text import Line, crop, shorten, width

ROUND, HEAVY = tuple("╭─╮│╰╯"), tuple("┏━┓┃┗┛")
EDGE, SIDE = 2, 4  # rows and cells that a frame takes


class Pane(Lines):
    """Lines in a frame that is drawn like any other line: a new title, or another choice of pane, redraws one row."""

    def __init__(self, id: str, number: int) -> None:
        super().__init__(id)
        self.number = number
        self.active = False
        self.broken = False

    @property
    def cells(self) -> int:
        """Room inside the frame."""
        return max(0, self.size.width - SIDE)

    @property
    def rows(self) -> int:
        """Lines that fit inside the frame."""
        return max(0, self.size.height - EDGE)

    def frame(self, lines: Sequence[Line], title: str, below: str = "") -> None:
        """Shows lines that fit, in the frame; titles come from data, so they are text and never markup."""
        left, line, right, side, low, end = HEAVY if self.broken else ROUND
        role, bold = ("bad", "bad") if self.broken else ("accent", "title") if self.active else ("frame", "")
        edge = "bad" if self.broken else "frame"
        room = max(0, self.size.width - 6)
        title = shorten(f"{self.number} {title}", room)
        rest = line * (room - width(((title, ""),)))
        rows: list[Line] = [((f"{left}{line} ", role), (title, bold), (f" {rest}{line}{right}", role))]
        for y in range(self.rows):
            inside = crop(lines[y], self.cells) if y < len(lines) else ()
            pad = " " * (self.cells - width(inside))
            rows.append(((f"{side} ", edge), *inside, (pad, ""), (f" {side}", edge)))
        foot = f" {shorten(below, room)} " if below else ""
        rest = line * (self.size.width - 3 - width(((foot, ""),)))
        rows.append(((f"{low}{rest}", edge), (foot, ""), (f"{line}{end}", edge)))
        self.show(rows)

    def scroll_lines(self, lines: Sequence[Line], first: int, title: str) -> int:
        """Shows as many of the lines as fit from `first` on, says how many are cut, and returns the first one shown."""
        first = max(0, min(first, len(lines) - self.rows))
        below = len(lines) - first - self.rows
        more = [f"↑ {first}"] if first else []
        more += [f"↓ {below} more"] if below > 0 else []
        self.frame(lines[first : first + self.rows], title, " ".join(more))
        return first
