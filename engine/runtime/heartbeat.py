"""Sends the training thread's sign of life to its supervisor, through a pipe.

The thread sends it between steps and tokens.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 0.5  # least seconds between two signs


class Heartbeat:
    """Writes a byte at most every EVERY seconds; writes nothing without a supervisor, or after it is gone."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._next = 0.0
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Sends signs from a second thread, for as long as data takes to come from the network.

        Python code that never ends (a regular expression, a template) blocks that thread, too.
        """
        done = threading.Event()

        def work() -> None:
            while not done.wait(EVERY):
                self.beat()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def beat(self) -> None:
        now = time.monotonic()
        if self._descriptor is None or now < self._next:
            return
        self._next = now + EVERY
        try:
            os.write(self._descriptor, b".")
        except BlockingIOError:
            pass  # the supervisor is behind: it has enough signs
        except BrokenPipeError:
            self._descriptor = None
