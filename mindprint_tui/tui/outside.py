"""Runs another program in the console's terminal: the console gives the terminal away until the program ends."""

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from textual.driver import Driver


def run_in_terminal(driver: Driver, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Returns the program's exit status. Raises OSError if the program cannot be started.

    Unlike Textual's `suspend`, this needs no shell with job control.
    """
    driver.suspend_application_mode()
    try:
        with driver.no_automatic_restart(), _signals():
            return subprocess.run(command, env=environment).returncode
    finally:
        driver.resume_application_mode()


@contextmanager
def _signals() -> Iterator[None]:
    """Leaves Ctrl-C to the program, and lets Ctrl-Z stop both: the terminal sends them to the whole group."""
    interrupt = signal.signal(signal.SIGINT, _ignore)  # a function: the program does not inherit it, unlike SIG_IGN
    stop = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, stop)
        signal.signal(signal.SIGINT, interrupt)


def _ignore(*_: object) -> None:
    """Handles a signal by doing nothing."""
