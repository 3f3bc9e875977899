"""The sign of life that the training thread itself gives its supervisor, through a pipe, between steps and tokens."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 0.5  # seconds between two signs at least


class Heartbeat:
    """Writes a byte now and then; without a supervisor, or once it is gone, nothing."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._next = 0.0
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Gives signs from a thread of its own, while data may come from the network for as long as they take.

        Python code that never ends (a regular expression, a template) holds that thread up, too.
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
            pass  # the supervisor is behind: it has signs enough
        except BrokenPipeError:
            self._descriptor = None
