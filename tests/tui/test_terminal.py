"""The bytes that reach a terminal: hostile text obeys nothing, and a long journal leaves the keys alive."""

import re
import sys
import time
from collections.abc import Callable

from terminal import Terminal

from engine.contract.rundir import RunDir

CONSOLE = """
import sys
from pathlib import Path
from engine.contract.rundir import RunDir
from mindprint_tui.app import MindprintApp
MindprintApp(RunDir(Path(sys.argv[1])), Path("logs")).run()
"""
FORBIDDEN = {
    "clipboard": rb"\x1b\]52",
    "title": rb"\x1b\][012];",
    "c1": rb"(?<![\x80-\xff])[\x80-\x9f]",
    "bidi": rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]",
}
Story = Callable[[str], RunDir]


def console(run: RunDir, size: tuple[int, int] = (120, 40)) -> Terminal:
    return Terminal([sys.executable, "-c", CONSOLE, str(run.path.resolve())], size)


def test_hostile_text_is_shown_and_not_obeyed(story: Story) -> None:
    with console(story("hostile")) as terminal:
        terminal.wait("RULE BROKEN")
        assert "[bold red]x[/] [@click=app.bell]y[/]" in terminal.text
        assert "␛[2J␛]52;c;aGk=␇" in terminal.text
        for keys in ("2", "3", "4", "5", "\r", "n", "\x1b", "?", "\x1b", "R"):
            terminal.type(keys)
            terminal.settle(0.3)
        terminal.wait("runs in")
        raw = bytes(terminal.raw)
    for name, pattern in FORBIDDEN.items():
        assert not re.search(pattern, raw), name


def test_a_long_journal_is_usable_while_it_is_read(story: Story) -> None:
    run = story("long-150000")
    began = time.monotonic()
    with console(run) as terminal:
        terminal.wait("reading the journal", 5)
        terminal.wait("tok/s", 5)
        terminal.type("?")
        terminal.wait("mindprint help", 2)
        terminal.type("\x1b")
        terminal.wait("The engine is gone", 30)
        while "reading the journal" in terminal.text:
            terminal.settle(0.1)
            assert time.monotonic() - began < 30
