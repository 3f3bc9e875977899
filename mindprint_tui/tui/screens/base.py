"""Base class of all screens: key bindings, a clickable footer, and painting."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget

from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import several
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.keys import Screen as ScreenName
from mindprint_tui.keys import keys_of
from mindprint_tui.tui.widgets.lines import ROLES, Lines
from mindprint_tui.view.footer import Hit, footer
from mindprint_tui.view.text import line


class Console(Protocol):
    """The part of the app that screens may use."""

    run_dir: RunDir | None
    logs: Path
    state: RunState
    live: Liveness
    now: Callable[[], float]
    start_config: Callable[[Path], RunDir] | None

    def attach(self, run: RunDir, started: bool = False) -> None: ...
    def start(self, begin: Callable[[], RunDir]) -> None: ...
    def ask(self, kind: str, topic: str | None) -> None: ...
    def leave(self) -> None: ...
    def show_runs(self) -> None: ...
    def next_theme(self) -> None: ...
    def lend_mouse(self) -> bool: ...
    def suspend_console(self) -> bool: ...
    def run_outside(self, command: Sequence[str]) -> int | None: ...


def bindings(name: ScreenName) -> list[BindingType]:
    """Returns Textual bindings for the keys of a screen. `1,2,3` becomes three bindings."""
    found: list[BindingType] = []
    for key in keys_of(name):
        for code in key.keys.split(","):
            action = f"pane({code})" if key.action == "pane" else key.action
            found.append(Binding(code, action, key.help, show=False))
    return found


class BaseScreen(Screen[None]):
    """A screen that paints itself from the app's state."""

    NAME: ClassVar[ScreenName]
    AUTO_FOCUS = ""
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{role}" for role in ROLES}

    def __init__(self) -> None:
        super().__init__()
        self._hits: list[Hit] = []
        self._due = False
        self._kept: dict[str, Lines] = {}

    @property
    def console(self) -> Console:
        return cast(Console, self.app)

    @property
    def cells(self) -> int:
        """Width of the terminal. Unlike a widget's size it is known before the first layout."""
        return self.app.size.width

    @property
    def rows(self) -> int:
        """Number of lines between head and foot."""
        return max(1, self.app.size.height - 2)

    def compose(self) -> ComposeResult:
        yield Lines("head")
        yield Lines("body")
        yield Lines("foot")

    def on_mount(self) -> None:
        self.paint()

    async def on_key(self, event: events.Key) -> None:
        """Runs the actions of keys in the order in which they were typed.

        Textual's own handling loses `abc` if `/abc` arrives at once.
        """
        if self.selections:
            self.clear_selection()
        for binding in self.BINDINGS:
            if isinstance(binding, Binding) and binding.key == event.key:
                event.stop()
                event.prevent_default()
                await self.run_action(binding.action)

    def on_screen_resume(self) -> None:
        self.paint()

    @on(Lines.Resized)
    def paint_again(self) -> None:
        """Paints once, for all widgets that a new layout has resized."""
        if not self._due:
            self._due = True
            self.call_after_refresh(self._paint_due)

    def _paint_due(self) -> None:
        self._due = False
        self.paint()

    def paint(self) -> None:
        """Shows the current state."""
        raise NotImplementedError

    def lines(self, id: str) -> Lines:
        """Returns a widget of this screen.

        The widget is cached, because a tick may still paint while the app removes its screens.
        """
        if id not in self._kept:
            self._kept[id] = self.query_one(f"#{id}", Lines)
        return self._kept[id]

    def paint_footer(self, words: dict[str, str], off: set[str]) -> None:
        shown, self._hits = footer(keys_of(self.NAME), words, off, self.cells)
        self.lines("foot").show([shown])

    def say(self, text: str) -> None:
        """Shows a message to the user, here in the footer until the next paint."""
        self.lines("foot").show([line((f" {text}", "accent"))])

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        """Returns the widget at a cell of the screen, and the place in its text.

        Textual looks for the place in the styles of the segments. Ours have none, because they would be drawn apart.
        """
        widget, offset = super().get_widget_and_offset_at(x, y)
        if isinstance(widget, Lines):
            offset = widget.character_at(x - widget.region.x, y - widget.region.y)
        return widget, offset

    @on(events.TextSelected)
    def copy_selection(self) -> None:
        """Sends the text that was selected with the mouse to the terminal's clipboard."""
        text = self.get_selected_text()
        if text and text.strip():
            self.app.copy_to_clipboard(text)
            self.say(f"✓ {several(len(text.splitlines()), 'line')} sent to the terminal's clipboard")

    @on(Lines.Clicked, "#foot")
    async def click_footer(self, event: Lines.Clicked) -> None:
        for first, last, action in self._hits:
            if first <= event.x < last and action != "pane":
                await self.run_action(action)

    @on(Lines.Scrolled)
    def wheel(self, event: Lines.Scrolled) -> None:
        self.action_move(event.down)

    def action_move(self, down: int) -> None:
        """Moves `down` lines. Screens that scroll override this."""

    def action_page(self, direction: int) -> None:
        self.action_move(direction * max(1, self.size.height - 8))

    def action_end(self, direction: int) -> None:
        self.action_move(direction * 10**6)

    def action_back(self) -> None:
        self.app.pop_screen()

    def action_detach(self) -> None:
        self.console.leave()

    def action_suspend(self) -> None:
        if not self.console.suspend_console():
            self.say("suspend: no shell with job control started this console, so nothing could bring it back")

    def action_mouse(self) -> None:
        lent = self.console.lend_mouse()
        self.say("the terminal has the mouse now; m takes it back" if lent else "the mouse chooses and selects here")

    def action_theme(self) -> None:
        self.console.next_theme()

    def action_help(self) -> None:
        self.app.push_screen("help")
