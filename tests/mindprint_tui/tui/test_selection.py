"""Text on the screen can be selected with the mouse: by the console, or by the terminal if it has the mouse."""

import base64
import re
from collections.abc import Callable

from golden import Open
from terminal import Terminal, console_on

from engine.contract.run_folder.folder import RunDir
from mindprint_tui.tui.screens.train import TrainScreen

Story = Callable[[str], RunDir]
COPIED = re.compile(rb"\x1b\]52;c;([^\x07]*)\x07")


def drag(terminal: Terminal, first: tuple[int, int], last: tuple[int, int]) -> None:
    """Moves the mouse with its button held down, from one cell to another; cells are counted from 0."""
    (x, y), (to_x, to_y) = first, last
    terminal.type(f"\x1b[<0;{x + 1};{y + 1}M\x1b[<32;{to_x + 1};{to_y + 1}M")
    terminal.settle(0.3)
    terminal.type(f"\x1b[<0;{to_x + 1};{to_y + 1}m")


def copied(terminal: Terminal) -> list[str]:
    return [base64.b64decode(data).decode() for data in COPIED.findall(bytes(terminal.raw))]


def test_dragging_sends_the_text_of_a_pane_to_the_clipboard(story: Story) -> None:
    with Terminal(console_on(story("happy").path)) as terminal:
        terminal.wait("The clockwork")
        terminal.settle(0.5)
        rows = terminal.screen.display
        y = next(y for y, row in enumerate(rows) if "The clockwork" in row)
        x = rows[y].index("The clockwork")
        drag(terminal, (x, y), (x + len("The clockwork"), y))
        terminal.wait("1 line sent to the terminal's clipboard")
        assert copied(terminal) == ["The clockwork"]
        drag(terminal, (x, y), (x + 3, y + 2))
        terminal.wait("3 lines sent")
        first, middle, last = copied(terminal)[-1].splitlines()
        half = len(rows[0]) // 2
        assert first == rows[y][x : half - 2].rstrip() and middle == rows[y + 1][2 : half - 2].rstrip()
        assert last == rows[y + 2][2 : x + 3].rstrip(), "the frame and the pane beside are left out"
        terminal.type("q")
        assert terminal.ended() == 0


async def test_the_end_of_a_drag_chooses_no_topic_and_a_key_ends_the_selection(console: Open) -> None:
    app = console("happy")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        await pilot.mouse_down("#topics", offset=(6, 4))
        await pilot.hover("#topics", offset=(16, 6))
        await pilot.mouse_up("#topics", offset=(16, 6))
        await pilot.pause(0.2)
        assert screen.look.topic is None and screen.selections
        await pilot.press("3")
        assert not screen.selections


def test_the_mouse_can_be_left_to_the_terminal(story: Story) -> None:
    with Terminal(console_on(story("happy").path)) as terminal:
        terminal.wait("1 Topics")
        terminal.settle(0.3)
        terminal.type("m")
        terminal.wait("the terminal has the mouse now")
        terminal.sent(r"\x1b\[\?1000l")
        sent = len(terminal.raw)
        terminal.type("m")
        terminal.settle(0.5)
        assert b"\x1b[?1000h" in terminal.raw[sent:]
        terminal.type("?")
        terminal.wait("mindprint help")
        terminal.type("q")
        assert terminal.ended() == 0
