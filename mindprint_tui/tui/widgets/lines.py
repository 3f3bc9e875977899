"""Widget that shows styled lines and redraws only the cells that changed."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset, Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.view.text import Line

REVERSE = Style(reverse=True)  # of selected text
ROLES = (
    "dim",
    "bold",
    "ok",
    "warn",
    "bad",
    "accent",
    "title",
    "breach",
    "cursor",
    "key",
    "off",
    "mark",
    "own",
    "other",
    "frame",
)


class Lines(Widget):
    """Shows styled lines.

    Textual's Static repaints completely. This widget compares line by line and refreshes only the cells that differ.
    The screen defines the styles of the roles as component classes, so that they are computed once and not for each
    widget.
    """

    class Clicked(Message):
        """A click at cell x of line y."""

        def __init__(self, lines: "Lines", x: int, y: int) -> None:
            super().__init__()
            self.lines, self.x, self.y = lines, x, y

        @property
        def control(self) -> "Lines":
            return self.lines

    class Scrolled(Message):
        """The mouse wheel moved by `down` lines."""

        def __init__(self, lines: "Lines", down: int) -> None:
            super().__init__()
            self.lines, self.down = lines, down

    class Resized(Message):
        """The size of the widget changed."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Line] = []
        self._styles: dict[str, Style] = {}

    def show(self, lines: Sequence[Line]) -> None:
        """Replaces the lines. A newline inside a line is shown as ⏎."""
        old, self._lines = self._lines, [tuple([(one_line(text), role) for text, role in spans]) for spans in lines]
        for y in range(max(len(old), len(self._lines))):
            before = old[y] if y < len(old) else ()
            after = self._lines[y] if y < len(self._lines) else ()
            if before != after and y < self.size.height:
                first, last = _changed(before, after)
                self.refresh(Region(first, y, max(1, min(last, self.size.width) - first), 1))

    def render_line(self, y: int) -> Strip:
        """Returns one line with the widget's background."""
        base = self._style("")
        spans = self._lines[y] if y < len(self._lines) else ()
        strip = Strip(_parts(spans, self._style, self._span(self.text_selection, y))).simplify()
        return strip.adjust_cell_length(self.size.width, base)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """Returns the selected text of this widget, and the newline after it."""
        rows = [_plain(spans) for y, spans in enumerate(self._lines) if selection.get_span(y) is not None]
        cuts = [self._span(selection, y) for y in range(len(self._lines)) if selection.get_span(y) is not None]
        return "\n".join(row[first:last].rstrip() for row, (first, last) in zip(rows, cuts, strict=True)), "\n"

    def selectable(self, text: str) -> tuple[int, int]:
        """Returns the first character of a line that can be selected, and the one after the last."""
        return 0, len(text)

    def character_at(self, x: int, y: int) -> Offset:
        """Returns the place in the text, in characters and lines, of the cell x, y of this widget."""
        text = _plain(self._lines[y]) if 0 <= y < len(self._lines) else ""
        ends = accumulate(map(cell_len, text))
        return Offset(sum(end <= x for end in ends), y)

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def _span(self, selection: Selection | None, y: int) -> tuple[int, int]:
        """Returns the first selected character of a line, and the one after the last; equal if none is selected."""
        span = None if selection is None or y >= len(self._lines) else selection.get_span(y)
        if span is None:
            return 0, 0
        first, last = self.selectable(_plain(self._lines[y]))
        begin = max(first, span[0])
        return begin, max(begin, last if span[1] < 0 else min(last, span[1]))

    def notify_style_update(self) -> None:
        self._styles.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self.text_selection is None:  # the end of a selection chooses nothing
            self.post_message(self.Clicked(self, offset.x, offset.y))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Scrolled(self, 3))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Scrolled(self, -3))

    def _style(self, role: str) -> Style:
        if role not in self._styles:
            named = self.screen.get_component_rich_style(f"lines--{role}") if role else self.rich_style
            self._styles[role] = _lean(named)
        return self._styles[role]


def _lean(style: Style) -> Style:
    """Returns a style without the terminal's default colours.

    They are what the terminal shows anyway, and plain text needs no escape codes.
    """
    plain = Style(
        color=None if style.color is None or style.color.is_default else style.color,
        bgcolor=None if style.bgcolor is None or style.bgcolor.is_default else style.bgcolor,
    )
    return plain + Style(bold=style.bold, dim=style.dim, reverse=style.reverse, underline=style.underline)


def _plain(spans: Line) -> str:
    return "".join(text for text, _ in spans)


def _parts(spans: Line, style: Callable[[str], Style], selected: tuple[int, int]) -> list[Segment]:
    """Returns the segments of a line. Characters within `selected` are shown in reverse."""
    if selected[0] == selected[1]:
        return [Segment(text, style(role)) for text, role in spans]
    segments, place = [], 0
    for text, role in spans:
        begin, end = (min(max(0, edge - place), len(text)) for edge in selected)
        for part, look in ((text[:begin], style(role)), (text[begin:end], REVERSE), (text[end:], style(role))):
            segments += [Segment(part, look)] if part else []
        place += len(text)
    return segments


def _changed(before: Line, after: Line) -> tuple[int, int]:
    """Returns the first cell that differs, and the cell after the last one."""
    old, new = _cells(before), _cells(after)
    if len(old) != len(new):
        size = max(len(old), len(new))
        blank = (" ", "")
        old, new = old + [blank] * (size - len(old)), new + [blank] * (size - len(new))
    first = next((x for x, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]), 0)
    last = next((x for x in range(len(old) - 1, -1, -1) if old[x] != new[x]), first)
    return first, last + 1


def _cells(spans: Line) -> list[tuple[str, str]]:
    """Returns one entry per cell.

    A wide character takes two entries, so that a change never cuts it in half.
    """
    cells: list[tuple[str, str]] = []
    for text, role in spans:
        for char in text:
            size = 1 if char.isascii() else cell_len(char)
            if size == 0 and cells:
                cells[-1] = (cells[-1][0] + char, role)
            elif size:
                cells += [(char, role)] * size
    return cells
