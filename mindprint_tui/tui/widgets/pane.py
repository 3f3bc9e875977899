"""Framed pane: number and title above, and below how many lines are hidden."""

from collections.abc import Sequence

from mindprint_tui.tui.widgets.lines import Lines
from mindprint_tui.view.text import Line, crop, shorten, width

ROUND, HEAVY = tuple("╭─╮│╰╯"), tuple("┏━┓┃┗┛")
EDGE, SIDE = 2, 4  # rows and cells that the frame takes


class Pane(Lines):
    """Lines inside a frame.

    The frame is drawn like other lines. A new title or another choice of pane therefore redraws one row.
    """

    def __init__(self, id: str, number: int) -> None:
        super().__init__(id)
        self.number = number
        self.active = False
        self.broken = False

    @property
    def cells(self) -> int:
        """Width inside the frame."""
        return max(0, self.size.width - SIDE)

    @property
    def rows(self) -> int:
        """Number of lines that fit inside the frame."""
        return max(0, self.size.height - EDGE)

    def selectable(self, text: str) -> tuple[int, int]:
        """Leaves the sides of the frame out."""
        framed = text[:1] in (ROUND[3], HEAVY[3])
        return (SIDE // 2, len(text) - SIDE // 2) if framed else super().selectable(text)

    def frame(self, lines: Sequence[Line], title: str, below: str = "") -> None:
        """Shows lines inside the frame.

        Titles come from data, so they are shown as plain text and never as markup.
        """
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
        """Shows the lines that fit from `first` on, and says how many are hidden.

        Returns the first line shown.
        """
        first = max(0, min(first, len(lines) - self.rows))
        below = len(lines) - first - self.rows
        more = [f"↑ {first}"] if first else []
        more += [f"↓ {below} more"] if below > 0 else []
        self.frame(lines[first : first + self.rows], title, " ".join(more))
        return first
