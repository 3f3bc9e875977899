"""Runs a program in a pseudo-terminal: types keys, waits for text, keeps all output bytes."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pyte

CONSOLE = """
import sys
from pathlib import Path
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.tui.app import MindprintApp
MindprintApp(RunDir(Path(sys.argv[1])), Path("logs")).run()
"""


def console_on(run: Path) -> list[str]:
    """Returns the command of a console on a run's folder, without the command line around it."""
    return [sys.executable, "-c", CONSOLE, str(run.resolve())]


class Terminal:
    """A pseudo-terminal with a running program. The program is ended on exit of the `with` block."""

    def __init__(
        self, command: Sequence[str], size: tuple[int, int] = (120, 40), cwd: str | None = None, **variables: str
    ) -> None:
        self.raw = bytearray()
        self.arrived = 0.0  # when the last bytes arrived, before they were parsed
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.status: int | None = None
        self._closed = False  # whether the program has closed its side
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            if cwd:
                os.chdir(cwd)
            os.environ.update(TERM="xterm-256color", COLUMNS=str(size[0]), LINES=str(size[1]))
            for name in ("NO_COLOR", "COLORTERM"):
                os.environ.pop(name, None)
            os.environ.update(variables)
            os.execvp(command[0], list(command))
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self.pid, 15)
            self.ended(5)
        if self._terminal >= 0:
            os.close(self._terminal)

    @property
    def descriptor(self) -> int:
        """The side of the pseudo-terminal at which the tests sit."""
        return self._terminal

    def vanish(self) -> None:
        """Closes the terminal, as a lost connection does. The program is left running."""
        os.close(self._terminal)
        self._terminal = -1

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def send(self, data: bytes) -> None:
        """Types bytes that need not be valid text."""
        os.write(self._terminal, data)

    def wait(self, wanted: str, seconds: float = 60) -> None:
        """Waits for a text. Raises AssertionError, with the screen, if it does not appear."""
        deadline = time.monotonic() + seconds
        while wanted not in self.text:
            if self._closed:
                raise AssertionError(f"the program ended, and {wanted!r} did not come:\n{self.text}")
            assert time.monotonic() < deadline, f"{wanted!r} did not come:\n{self.text}"
            self._read(0.05)

    def sent(self, wanted: str, seconds: float = 60) -> None:
        """Waits for bytes that match a pattern. Raises AssertionError if none arrive."""
        deadline = time.monotonic() + seconds
        while not re.search(wanted.encode(), bytes(self.raw)):
            assert time.monotonic() < deadline, f"{wanted!r} was not sent"
            self._read(0.05)

    def settle(self, seconds: float) -> None:
        """Reads the output for `seconds` more seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.05)

    def ended(self, seconds: float = 60) -> int:
        """Waits for the program to end and returns its exit status. Kills it after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            self._read(0.05)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(self.pid, 9)
        return self.status

    def _read(self, seconds: float) -> None:
        if self._terminal < 0:
            time.sleep(seconds)
        elif select.select([self._terminal], [], [], seconds)[0]:
            try:
                data = os.read(self._terminal, 1 << 16)
            except OSError:
                self._closed = True
                time.sleep(seconds)
                return
            self.arrived = time.monotonic()
            self.raw += data
            self._stream.feed(data)
