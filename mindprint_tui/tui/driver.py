"""Textual's driver for a terminal, for terminals that are not quite as it expects them."""

import os
from codecs import getincrementaldecoder
from collections.abc import Callable
from functools import partial
from typing import Any

from textual.drivers import linux_driver


def _forgiving(encoding: str) -> Callable[[], Any]:
    """An incremental decoder that leaves out what is no text: an é of Latin-1, half of an emoji, a mouse report."""
    return partial(getincrementaldecoder(encoding), errors="ignore")


class TerminalDriver(linux_driver.LinuxDriver):
    """Ignores bytes that are not UTF-8, and asks the terminal for its size before COLUMNS and LINES."""

    def run_input_thread(self) -> None:
        linux_driver.getincrementaldecoder = _forgiving  # type: ignore[assignment, attr-defined]
        super().run_input_thread()

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self.fileno)
        except OSError:
            width = height = 0
        return (width, height) if width and height else super()._get_terminal_size()
