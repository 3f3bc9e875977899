"""The journal of a run as cleaned events, a slice at a time, and whether its engine is alive."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.contract.events import Record, Step, Unknown, decode
from engine.contract.journal import Tail
from engine.contract.rundir import RunDir, holder
from mindprint_tui.clean import clean_event

SLICE = 0.02  # seconds of reading before keys are answered again
BYTES = 1 << 18  # of one read
SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789/_-")


@dataclass(frozen=True, slots=True)
class Liveness:
    """`alive` has said something lately, `silent` holds the run's lock and says nothing, `gone` holds no lock."""

    word: Literal["alive", "silent", "gone"]
    seconds: float  # since the last event


class Feed:
    """Follows one run. Every record it gives is cleaned, understood, and later than the one before."""

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.time, quiet: float = 30.0) -> None:
        """`quiet` is how many seconds without an event make an engine that holds the lock `silent`."""
        self.run = run
        self.clock = clock
        self.quiet = quiet
        self._tail = Tail(run.journal)
        self._lines: list[bytes] = []
        self._seq = -1
        self._last = 0.0

    def read(self, seconds: float = SLICE) -> list[Record]:
        """New records: for about so many seconds, or until there are no more."""
        records: list[Record] = []
        deadline = time.monotonic() + seconds
        while True:
            if not self._lines:
                self._lines = [line for _, line in self._tail.read(BYTES)]
                self._lines.reverse()
            if not self._lines:
                return records
            while self._lines:
                self._take(decode(self._lines.pop()), records)
                if not len(records) & 63 and time.monotonic() > deadline:
                    return records

    @property
    def progress(self) -> float:
        """The share of the journal that was read, from 0 to 1."""
        try:
            size = os.stat(self.run.journal).st_size
        except FileNotFoundError:
            return 1.0
        waiting = sum(map(len, self._lines)) + len(self._lines)
        return min(1.0, (self._tail.offset - waiting) / size) if size else 1.0

    def liveness(self) -> Liveness:
        """Whether the engine is there is asked of the kernel; silence alone never makes it gone."""
        seconds = max(0.0, self.clock() - self._last) if self._last else 0.0
        if holder(self.run) is None:
            return Liveness("gone", seconds)
        return Liveness("silent" if seconds > self.quiet else "alive", seconds)

    def _take(self, record: Record, records: list[Record]) -> None:
        event = record.event
        if record.seq <= self._seq:
            return  # written twice, or out of order: what was first stays true
        self._seq, self._last = record.seq, record.t
        if isinstance(event, Unknown):
            return
        if isinstance(event, Step) and SAFE.issuperset(event.topic):
            records.append(record)
        else:
            records.append(Record(record.seq, record.t, clean_event(event)))
