"""The journal of a run as cleaned events, a slice at a time, and whether its engine is alive."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from engine.contract.journal.codec import decode
from engine.contract.journal.events import Record, Sample, Step, TopicStarted, Unknown
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from mindprint_tui.journal.sanitize import clean_event
from mindprint_tui.journal.step_batch import HEAD, Point, Stretch

T = TypeVar("T")
SLICE = 0.02  # seconds of reading before keys are answered again
BYTES = 1 << 18  # of one read
QUIET = 30.0  # seconds without an event that make an engine that holds the lock `silent`
TELLING = (b'"sample"', b'"topic_started"')  # in the first bytes of a line
SAMPLE = re.compile(rb'\{"v": 1, "seq": ([0-9]{1,18}), "t": ([0-9]{1,14}\.[0-9]{1,6}), "kind": "sample"')


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
        self._seq = -1  # the highest number that is believed
        self._met = -1  # the number of the line before
        self.drained = True  # whether the last read came to the end of the journal
        self._last = 0.0
        self._noticed = (0.0, 0.0)  # `_last` at an earlier look, and when it was new, by a clock that nobody sets

    def read(self, seconds: float = SLICE) -> list[Record]:
        """New records: for about so many seconds, or until there are no more."""
        records: list[Record] = []
        for line in self._until(time.monotonic() + seconds):
            self._take(line, records)
        return records

    def skim(self, seconds: float = SLICE) -> list[Record | Stretch]:
        """As read, but finite steps of one phase in a row come as one Stretch, which is several times faster."""
        records: list[Record | Stretch] = []
        points: list[Point] = []
        phase: tuple[bytes, bytes] | None = None
        last = b""
        for line in self._until(time.monotonic() + seconds):
            found = HEAD.match(line)
            if found is None:
                _stretch(points, last, records)
                points = []
                self._take(line, records)
                continue
            number, topic, name, step, loss = found.groups()
            seq = int(number)
            if not self._later(seq):
                continue
            if points and (topic, name) != phase:
                _stretch(points, last, records)
                points = []
            phase, last = (topic, name), line
            points.append((seq, int(step), float(loss)))
        _stretch(points, last, records)
        if points and records:
            self._last = records[-1].t
        return records

    def rest(self, read: Callable[[], T]) -> Iterator[T]:
        """What `read` (this feed's own, or its skim) gives, slice after slice, to the end of the journal.

        A slice may be empty before that: answers are left out, and many may stand in a row.
        """
        while True:
            yield read()
            if self.drained:
                return

    def _until(self, deadline: float) -> Iterator[bytes]:
        """Lines that were not read yet; `drained` when they came to the end of the journal."""
        while True:
            if not self._lines:
                self._lines = [line for _, line in self._tail.read(BYTES)]
                self._lines.reverse()
            self.drained = not self._lines
            if self.drained:
                return
            for count in range(1, len(self._lines) + 1):
                yield self._lines.pop()
                if not count & 63 and time.monotonic() > deadline:
                    return

    @property
    def replaced(self) -> bool:
        """Whether another run has taken the place of the one that was read: its journal was removed and begun anew."""
        return self._tail.replaced

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
        """Whether the engine is there is asked of the kernel; silence alone never makes it gone.

        A clock that is set back hides no silence that was seen here.
        """
        now = time.monotonic()
        if self._noticed[0] != self._last:
            self._noticed = self._last, now
        seconds = max(self._clock() - self._last, now - self._noticed[1]) if self._last else 0.0
        if not self.alive():
            return Liveness("gone", seconds)
        return Liveness("silent" if seconds > QUIET else "alive", seconds)

    def alive(self) -> bool:
        """Whether an engine holds the run's lock."""
        return holder(self.run) is not None

    def _take(self, line: bytes, records: list[Record] | list[Record | Stretch]) -> None:
        if b'"sample"' in line[30:80] and (sample := SAMPLE.match(line)) is not None:
            if self._later(int(sample[1])):
                self._last = float(sample[2])  # the latest, not the largest: a clock may be set back
            return
        record = decode(line)
        if not self._later(record.seq):
            return  # written twice, or out of order: what was first stays true
        self._last = record.t
        if not isinstance(record.event, Unknown | Sample):
            records.append(Record(record.seq, record.t, clean_event(record.event)))

    def _later(self, seq: int) -> bool:
        """Whether a line with this number comes after those before it.

        A number that jumps ahead is believed once the next line goes on from it, so that a damaged one hides nothing.
        """
        if seq <= self._seq or seq == self._met:
            return False
        if seq in (self._seq + 1, self._met + 1):
            self._seq = seq
        self._met = seq
        return True


def _stretch(points: list[Point], last: bytes, records: list[Record | Stretch]) -> None:
    """A damaged last line takes its stretch with it: it is not a step, and a journal has no others."""
    if points and isinstance((record := decode(last)).event, Step):
        records.append(Stretch(points, record.event, record.t))


class Samples:
    """The answers to the questions of one topic, and where its attempts start; `read` goes on where it stopped."""

    def __init__(self, run: RunDir, topic: str) -> None:
        self._tail = Tail(run.journal)
        self._topic, self._bytes = topic, topic.encode()

    def read(self, seconds: float = SLICE) -> tuple[list[Sample | TopicStarted], bool]:
        """What is new, cleaned, and whether the end of the journal was reached."""
        found: list[Sample | TopicStarted] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self._tail.read(BYTES)
            if not lines:
                return found, True
            for _, line in lines:
                if self._bytes in line and (event := answer_or_start(line)) and event.topic == self._topic:
                    found.append(clean_event(event))
        return found, False


def answer_or_start(line: bytes) -> Sample | TopicStarted | None:
    """What a line of a journal says of a topic's answers, not cleaned; None where it is about something else."""
    if not any(word in line[:100] for word in TELLING):
        return None
    event = decode(line).event
    return event if isinstance(event, Sample | TopicStarted) else None
