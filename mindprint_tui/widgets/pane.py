"""A framed pane: a number and a title above, and below it how much of it is out of sight."""

from collections.abc import Sequence

from textual.content import Content

from mindprint_tui.view.text import Line
from mindprint_tui.widgets.lines import Lines


class Pane(Lines):
    """Lines in a frame. Titles come from data, so they are never read as markup."""

    def __init__(self, id: str, number: int) -> None:
        super().__init__(id)
        self.number = number

    def frame(self, title: str, below: str = "") -> None:
        """Sets title and footing; a frame is repainted whole, so only when they changed."""
        heading = Content(f"{self.number} {title}")
        if self.border_title != heading.markup:
            self.border_title = heading.markup
        if self.border_subtitle != Content(below).markup:
            self.border_subtitle = Content(below).markup

    def scroll_lines(self, lines: Sequence[Line], first: int, title: str) -> int:
        """Shows as many of the lines as fit from `first` on, says how many are cut, and returns the first one shown."""
        height = max(1, self.size.height)
        first = max(0, min(first, len(lines) - height))
        below = len(lines) - first - height
        self.show(lines[first : first + height])
        more = [f"↑ {first}"] if first else []
        more += [f"↓ {below} more"] if below > 0 else []
        self.frame(title, " ".join(more))
        return first
