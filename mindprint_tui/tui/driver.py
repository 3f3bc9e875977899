"""Terminal driver of the console: accepts invalid bytes and finds the real terminal size."""

import os
from codecs import getincrementaldecoder
from collections.abc import Callable
from functools import partial
from typing import Any

from textual.drivers import linux_driver


def _forgiving(encoding: str) -> Callable[[], Any]:
    """Returns an incremental decoder that skips invalid bytes.

    Such bytes are an é of Latin-1, half of an emoji, or a mouse report.
    """
    return partial(getincrementaldecoder(encoding), errors="ignore")


class TerminalDriver(linux_driver.LinuxDriver):
    """Textual's Linux driver with two changes.

    It ignores bytes that are not UTF-8. It trusts the terminal's own size before COLUMNS and LINES.
    """

    def run_input_thread(self) -> None:
        linux_driver.getincrementaldecoder = _forgiving  # type: ignore[assignment, attr-defined]
        super().run_input_thread()

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self.fileno)
        except OSError:
            width = height = 0
        return (width, height) if width and height else super()._get_terminal_size()
