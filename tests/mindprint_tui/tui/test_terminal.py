"""The bytes that reach a terminal: hostile text obeys nothing, and a long journal leaves the keys alive."""

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from make import write
from terminal import Terminal
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from engine.contract.run_folder.folder import RunDir

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))
CONSOLE = """
import sys
from pathlib import Path
from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.tui.app import MindprintApp
from mindprint_tui.journal.feed import Feed
def refuse(path):
    raise InputError(f"{path}: cannot be read")
class Half(Feed):
    def skim(self, seconds):
        if self.progress < 0.5 or Path("answered").exists():
            return super().skim(seconds)
        self.drained = False
        return []
MindprintApp(RunDir(Path(sys.argv[1])), Path("logs"), start_config=refuse, feed=Half if HALF else Feed).run()
"""
SENT = re.compile(  # by the console itself: places, colours, modes, questions; never an erased screen or a title
    rb"\x1b\[[0-9;]*[Hm]|\x1b\[\?[0-9;]*[hl]|\x1b\[\?[0-9]+\$p|\x1b\[[<>=]?[0-9]*u|\x1b\]22;[a-z]*\x07"
)
NAME = "\x1b]0;x\x07\x1b[2J\x9b31m\u202e[bold red]x\n漢" + os.fsdecode(b"\xff")
LIGHT = Color.parse(BUILTIN_THEMES["textual-light"].background or "").rgb
Story = Callable[[str], RunDir]


def console(run: RunDir, half: bool = False, **variables: str) -> Terminal:
    """`half` of a journal is read until there is a file `answered`."""
    return Terminal([sys.executable, "-c", f"HALF = {half}\n{CONSOLE}", str(run.path.resolve())], **variables)


def assert_harmless(raw: bytes) -> None:
    """Nothing but the console's own sequences, line ends, and characters that a terminal only shows."""
    text = SENT.sub(b"", raw).decode("utf-8")
    left = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")}
    assert left <= {"\r", "\n"}, sorted(left)


def test_hostile_text_is_shown_and_not_obeyed(story: Story) -> None:
    run = story("hostile")
    write("happy", Path("logs")).path.rename(Path("logs", NAME))
    Path("configs").mkdir()
    Path("configs", f"{NAME}.yaml").touch()
    with console(run) as terminal:
        terminal.wait("RULE BROKEN")
        assert "[bold red]x[/] [@click=app.bell]y[/]" in terminal.text
        assert "␛[2J␛]52;c;aGk=␇" in terminal.text
        for keys in ("2", "3", "4", "5", "/z\r", "1"):
            terminal.type(keys)
            terminal.settle(0.15)
        terminal.type("\r")
        terminal.wait("question 1 of")
        terminal.type("n")
        terminal.settle(0.15)
        terminal.type("\x1b")
        terminal.wait("1 Topics")
        terminal.type("?")
        terminal.wait("mindprint help")
        terminal.type("?")
        terminal.wait("1 Topics")
        terminal.type("\x10")
        terminal.wait("Search")
        terminal.type("\x1b")
        terminal.settle(0.3)
        terminal.type("R")
        terminal.wait("␛]0;x␇␛[2J")
        terminal.type("c")
        terminal.wait("Which configuration")
        assert "[bold red]x" in terminal.text
        terminal.type("\r")
        terminal.wait("cannot be read")
        terminal.settle(0.3)  # what is still on its way would be cut in the middle of a character or a sequence
        raw = bytes(terminal.raw)
    assert_harmless(raw)


@pytest.mark.parametrize(
    ("variables", "keys", "colours", "own"),
    [
        ({"TERM": "screen"}, "", r"0|1|2|4|7|3[0-7]|9[0-7]", ""),
        ({"TERM": "screen"}, "t", r"0|1|2|4|7|(3|4|9|10)[0-7]", r"(4|10)[0-7]"),
        ({"TERM": "xterm-256color"}, "t", r"0|1|2|4|7|[34]8;5;[0-9]+|(3|4|9|10)[0-7]", r"48;5;[0-9]+"),
        (
            {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
            "tt",
            r"0|1|2|4|7|[34]8;2(;[0-9]+){3}|(3|9)[0-7]",
            f"48;2;{LIGHT[0]};{LIGHT[1]};{LIGHT[2]}",
        ),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "", r"0|1|2|4|7|39|49", ""),
    ],
    ids=["16", "16 dark", "256 dark", "light", "none"],
)
def test_colours(story: Story, variables: dict[str, str], keys: str, colours: str, own: str) -> None:
    """`own` are those of the theme that was chosen, and of no other."""
    with console(story("not-a-number"), **variables) as terminal:
        terminal.wait("RULE BROKEN")
        terminal.type(keys)
        terminal.sent(rf"\x1b\[([0-9;]+;)?{own}[;m]" if own else "RULE BROKEN")
        terminal.settle(0.4)
        for sign in ("✗ RULE BROKEN", "! Trimming the lamp", "✓ Clean glass", "· The clockwork", "✗ rules broken 1"):
            assert sign in terminal.text
        codes = set(re.findall(rb"\x1b\[([0-9;]+)m", bytes(terminal.raw)))
    one = re.compile(rf"({colours})(;({colours}))*")
    assert [code for code in codes if not one.fullmatch(code.decode())] == []


def test_help_and_the_way_back_are_sent_once(story: Story) -> None:
    with console(story("happy")) as terminal:
        terminal.wait("1 Topics")
        terminal.type("?")  # the page is made, and kept
        terminal.wait("mindprint help")
        terminal.settle(0.5)
        for text in ("1 Topics", "mindprint help", "1 Topics"):
            sent = len(terminal.raw)
            terminal.type("?")
            terminal.wait(text)
            terminal.settle(0.5)
            assert terminal.raw[sent:].count(text.encode()) == 1


def test_hostile_names_and_values_on_stdout_and_stderr(tmp_path: Path) -> None:
    write("happy", tmp_path / "logs").path.rename(tmp_path / "logs" / NAME)
    Path(tmp_path, "bad.yaml").write_text('curriculum: {path: here}\nsft: {"\\e]0;x\\a\\u202e": 1}\n')
    for arguments in (["runs"], ["attach", "none"], ["ctl", "none", "pause"], ["--no-ui", "bad.yaml"]):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, cwd=tmp_path)
        assert b"\xe2\x90\x9b]0;x" in done.stdout + done.stderr, arguments
        assert_harmless(done.stdout + done.stderr)


def test_a_long_journal_is_usable_while_it_is_read(story: Story) -> None:
    """How fast is measured by `make bench-console`; here a key is answered before the journal's end is reached."""
    with console(story("long-150000"), half=True) as terminal:
        terminal.wait("reading the journal")
        terminal.wait("tok/s")
        terminal.type("?")
        terminal.wait("mindprint help")
        terminal.type("\x1b")
        terminal.wait("reading the journal")
        Path("answered").touch()
        terminal.wait("The engine is gone")
        while "reading the journal" in terminal.text:
            terminal.settle(0.1)


@pytest.mark.parametrize(
    "data",
    [b"\xe9", b"\xf0\x9f", b"\xff\xfe\xfd", b"\x1b[M \xe0\xf0", b"\x80" * 5000],
    ids=["Latin-1", "half an emoji", "no text", "an X10 mouse report", "many"],
)
def test_bytes_that_are_no_text_are_ignored(story: Story, data: bytes) -> None:
    with console(story("happy")) as terminal:
        terminal.wait("1 Topics")
        terminal.send(data)
        terminal.settle(0.3)
        terminal.type("  ??" if b"\x1b" in data else "?")
        terminal.settle(0.3)
        if "mindprint help" not in terminal.text:
            terminal.type("?")
        terminal.wait("mindprint help")
        terminal.type("q")
        assert terminal.ended() == 0
        assert b"Traceback" not in terminal.raw


def test_the_terminal_says_how_large_it_is_and_not_the_environment(story: Story) -> None:
    with console(story("happy"), COLUMNS="50", LINES="12") as terminal:
        terminal.wait("1 Topics")
        terminal.settle(0.5)
        assert terminal.screen.display[-1].strip(), "the last line of a terminal of 40 lines is the footer"
        assert max(len(line.rstrip()) for line in terminal.screen.display) > 100
