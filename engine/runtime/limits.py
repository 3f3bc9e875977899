"""Limits on computing time and memory for work on data from elsewhere."""

import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from engine.contract.errors import InputError

STATM = Path("/proc/self/statm")


@contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """Raises InputError (`what`, and the limit) if the block computes for more than `seconds`; waiting is not counted.

    Python's regular expressions and its byte code check for signals as they run. Only the main thread gets signals, so
    in other threads there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise InputError(f"{what}: more than {seconds:g} s of computing")

    before = signal.signal(signal.SIGVTALRM, end)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def limited_memory(more: int) -> Iterator[None]:
    """Lets the block take at most `more` bytes beyond the memory that the process has; only Linux enforces this.

    An allocation beyond the limit raises MemoryError.
    """
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    most = now + more if soft == resource.RLIM_INFINITY else min(soft, now + more)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
