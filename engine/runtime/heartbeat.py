"""The sign of life that the training thread itself gives its supervisor, through a pipe, between steps and tokens."""

import os
import time

EVERY = 0.5  # seconds between two signs at least


class Heartbeat:
    """Writes a byte now and then; without a supervisor, or once it is gone, nothing."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._next = 0.0
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)

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
