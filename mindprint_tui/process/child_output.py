"""Relays a child's output to this terminal, sanitized, line by line.

The output may quote untrusted files.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mindprint_tui.journal.sanitize import clean


@contextmanager
def relayed(target: TextIO) -> Iterator[int]:
    """Yields a file descriptor for a child's output, and prints each line of it on `target`.

    On exit it waits until everything is printed, and raises OSError if `target` could not be written. The child never
    notices that: its output is read to the end.
    """
    reading, writing = os.pipe()
    failed: list[OSError] = []

    def show() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    print(clean(line.removesuffix("\n")), file=target, flush=True)
                except OSError as error:
                    failed.append(error)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield writing
    finally:
        os.close(writing)
        thread.join()
    if failed:
        raise failed[0]
