"""The journal of a run as cleaned events, a slice at a time, and whether its engine is alive."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.contract.events import Record, Sample, Step, Unknown, decode
from engine.contract.journal import Tail
from engine.contract.rundir import RunDir, holder
from mindprint_tui.clean import clean_event

SLICE = 0.02  # seconds of reading before keys are answered again
BYTES = 1 << 18  # of one read
QUIET = 30.0  # seconds without an event that make an engine that holds the lock `silent`
SAMPLE = re.compile(rb'\{"v": 1, "seq": ([0-9]{1,18}), "t": ([0-9]{1,14}\.[0-9]{1,6}), "kind": "sample"')
SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789/_-")


@dataclass(frozen=True, slots=True)
class Liveness:
    """`alive` has said something lately, `silent` holds the run's lock and says nothing, `gone` holds no lock."""

    word: Literal["alive", "silent", "gone"]
    seconds: float  # since the last event


class Feed:
    """Follows one run. Every record it gives is cleaned, understood, and later than the one before.

    Answers (`sample`) are left out: they are half of a journal's bytes, and Samples has them for one topic.
    """

    def __init__(self, run: RunDir, offset: int = 0, clock: Callable[[], float] = time.time) -> None:
        """Reads from byte `offset` of the journal on."""
        self.run = run
        self._clock = clock
        self._tail = Tail(run.journal, offset)
        self._lines: list[bytes] = []
        self._seq = -1
        self.drained = True  # whether the last read came to the end of the journal
        self._last = 0.0

    def read(self, seconds: float = SLICE) -> list[Record]:
        """New records: for about so many seconds, or until there are no more."""
        records: list[Record] = []
        deadline = time.monotonic() + seconds
        while True:
            if not self._lines:
                self._lines = [line for _, line in self._tail.read(BYTES)]
                self._lines.reverse()
            self.drained = not self._lines
            if self.drained:
                return records
            while self._lines:
                line = self._lines.pop()
                if (sample := SAMPLE.match(line)) is not None:
                    self._seq = max(self._seq, int(sample[1]))
                    self._last = max(self._last, float(sample[2]))
                else:
                    self._take(decode(line), records)
                if not len(records) & 63 and time.monotonic() > deadline:
                    return records

    @property
    def progress(self) -> float:
        """The share of the journal that was read, from 0 to 1."""
        try:
            size = self.run.journal.stat().st_size
        except FileNotFoundError:
            return 1.0
        waiting = sum(map(len, self._lines)) + len(self._lines)
        return min(1.0, (self._tail.offset - waiting) / size) if size else 1.0

    def liveness(self) -> Liveness:
        """Whether the engine is there is asked of the kernel; silence alone never makes it gone."""
        seconds = max(0.0, self._clock() - self._last) if self._last else 0.0
        if not self.alive():
            return Liveness("gone", seconds)
        return Liveness("silent" if seconds > QUIET else "alive", seconds)

    def alive(self) -> bool:
        """Whether an engine holds the run's lock."""
        return holder(self.run) is not None

    def _take(self, record: Record, records: list[Record]) -> None:
        event = record.event
        if record.seq <= self._seq:
            return  # written twice, or out of order: what was first stays true
        self._seq, self._last = record.seq, record.t
        if isinstance(event, Unknown | Sample):
            return
        if isinstance(event, Step) and SAFE.issuperset(event.topic):
            records.append(record)
        else:
            records.append(Record(record.seq, record.t, clean_event(event)))


class Samples:
    """The answers to the questions of one topic, found in the journal; `read` goes on where it stopped."""

    def __init__(self, run: RunDir, topic: str) -> None:
        self._tail = Tail(run.journal)
        self._topic = topic.encode()

    def read(self, seconds: float = SLICE) -> tuple[list[Sample], bool]:
        """New answers, cleaned, and whether the end of the journal was reached."""
        found: list[Sample] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self._tail.read(BYTES)
            if not lines:
                return found, True
            for _, line in lines:
                if self._topic in line and b'"sample"' in line:
                    event = decode(line).event
                    if isinstance(event, Sample) and event.topic.encode() == self._topic:
                        found.append(clean_event(event))
        return found, False
