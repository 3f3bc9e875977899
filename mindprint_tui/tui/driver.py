"""Terminal driver of the console: accepts invalid bytes, finds the real size, survives SIGSTOP."""

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
    """Textual's Linux driver with four changes.

    It ignores bytes that are not UTF-8. It trusts the terminal's own size before COLUMNS and LINES. It continues after
    SIGSTOP as after Ctrl-Z. It can leave the mouse to the terminal.
    """

    _mouse_lent = False

    def run_input_thread(self) -> None:
        linux_driver.getincrementaldecoder = _forgiving  # type: ignore[assignment, attr-defined]
        super().run_input_thread()

    def lend_mouse(self, lent: bool) -> None:
        """Leaves the mouse to the terminal, which then selects text as it does elsewhere, or takes it back."""
        self._mouse_lent = lent
        if lent:
            self._disable_mouse_support()
        else:
            self._enable_mouse_support()

    @property
    def can_suspend(self) -> bool:
        """Whether a shell with job control can bring this process back.

        Without one, this process is in the group of the session's leader, and after a stop it would stay stopped.
        """
        return os.getpgrp() != os.getsid(0)

    def _enable_mouse_support(self) -> None:
        if not self._mouse_lent:
            super()._enable_mouse_support()

    def _sigcont_application(self, *_: object) -> None:
        """Starts application mode again.

        SIGSTOP cannot be handled, so after it application mode is still on. It is ended first: Textual would start a
        second input thread, and the first one would never end.
        """
        if self._writer_thread is None:
            return
        if not self._must_signal_resume:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self.fileno)
        except OSError:
            width = height = 0
        return (width, height) if width and height else super()._get_terminal_size()
