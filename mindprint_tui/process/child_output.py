"""What a child prints reaches this terminal line by line and cleaned: it may quote files that nobody has looked at."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from mindprint_tui.journal.sanitize import clean


@contextmanager
def relayed(target: TextIO) -> Iterator[int]:
    """A descriptor for a child to print to, open for as long as this is; all of it is shown on `target` at the end."""
    reading, writing = os.pipe()

    def show() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines, suppress(BrokenPipeError):
            for line in lines:
                print(clean(line.removesuffix("\n")), file=target, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield writing
    finally:
        os.close(writing)
        thread.join()
