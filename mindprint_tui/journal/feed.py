"""The journal of a run as cleaned events, a slice at a time, and whether its engine is alive."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from engine.contract.journal.codec import decode, glance
from engine.contract.journal.events import EngineRestarted, Record, RunStarted, Sample, Step, TopicStarted, Unknown
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from mindprint_tui.journal.sanitize import clean_event, is_plain
from mindprint_tui.journal.step_batch import Point, Stretch

T = TypeVar("T")
SLICE = 0.02  # seconds of reading before keys are answered again
BYTES = 1 << 18  # of one read
QUIET = 30.0  # seconds without an event that make an engine that holds the lock `silent`
BLOCK = 64  # lines between two looks at the clock


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
        self._next = 0  # the first of them that was not read yet
        self._seq = -1  # the highest number that is believed
        self._met = -1  # the number of the line before
        self.damaged = 0  # lines that could not be read
        self.drained = True  # whether the last read came to the end of the journal
        self._last = 0.0
        self._noticed = (0.0, 0.0)  # `_last` at an earlier look, and when it was new, by a clock that nobody sets

    def read(self, seconds: float = SLICE) -> list[Record]:
        """New records: for about so many seconds, or until there are no more."""
        records: list[Record] = []
        for block in self._until(time.monotonic() + seconds):
            for line in block:
                self._take(line, records)
        return records

    def skim(self, seconds: float = SLICE) -> list[Record | Stretch]:
        """As read, but finite steps of one phase in a row come as one Stretch, which is several times faster.

        Of the steps in a stretch only what the curve needs is looked at, and the last one as a whole.
        """
        records: list[Record | Stretch] = []
        points: list[Point] = []
        lines: list[bytes] = []  # one for each point
        phase: tuple[str, str] | None = None
        for block in self._until(time.monotonic() + seconds):
            for line in block:
                seen = glance(line)
                if seen is not None and seen.kind == "step" and seen.loss == seen.loss:
                    if not self._later(seen.seq):
                        continue
                    if points and (seen.topic, seen.phase) != phase:
                        self._stretch(points, lines, records)
                        points, lines = [], []
                    phase = seen.topic, seen.phase
                    points.append((seen.seq, seen.step, seen.loss))
                    lines.append(line)
                    continue
                if points:
                    self._stretch(points, lines, records)
                    points, lines = [], []
                if seen is not None and seen.kind == "sample":
                    if self._later(seen.seq):
                        self._last = seen.t
                else:
                    self._take(line, records)
        if points:
            self._stretch(points, lines, records)
        return records

    def rest(self, read: Callable[[], T]) -> Iterator[T]:
        """What `read` (this feed's own, or its skim) gives, slice after slice, to the end of the journal.

        A slice may be empty before that: answers are left out, and many may stand in a row.
        """
        while True:
            yield read()
            if self.drained:
                return

    def _until(self, deadline: float) -> Iterator[list[bytes]]:
        """Blocks of lines that were not read yet; `drained` when they came to the end of the journal."""
        while True:
            if self._next >= len(self._lines):
                self._lines, self._next = self._tail.lines(BYTES), 0
            self.drained = not self._lines
            if self.drained:
                return
            while self._next < len(self._lines):
                block = self._lines[self._next : self._next + BLOCK]
                self._next += len(block)
                yield block
                if time.monotonic() > deadline:
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
        left = self._lines[self._next :]
        waiting = sum(map(len, left)) + len(left)
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
        record = decode(line, self._last)
        if isinstance(record.event, Unknown):
            self.damaged += record.event.damaged
        if not self._later(record.seq):
            return  # written twice, or out of order: what was first stays true
        self._last = record.t  # the latest, not the largest: a clock may be set back
        if not isinstance(record.event, Unknown | Sample):
            records.append(Record(record.seq, record.t, _clean(line, record.event)))

    def _stretch(self, points: list[Point], lines: list[bytes], records: list[Record | Stretch]) -> None:
        """Adds the stretch of these points up to the last line that is a whole step."""
        while points:
            record = decode(line := lines.pop(), self._last)
            if isinstance(record.event, Step):
                self._last = record.t
                records.append(Stretch(points, _clean(line, record.event), record.t))
                return
            self.damaged += 1
            points.pop()

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


def _clean(line: bytes, event: Any) -> Any:
    """The event of a line, cleaned; most lines hold nothing that would have to be. Lists in settings become tuples."""
    return event if is_plain(line) and not isinstance(event, RunStarted | EngineRestarted) else clean_event(event)


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
            lines = self._tail.lines(BYTES)
            if not lines:
                return found, True
            for line in lines:
                if self._bytes in line and (event := answer_or_start(line)) and event.topic == self._topic:
                    found.append(clean_event(event))
        return found, False


def answer_or_start(line: bytes) -> Sample | TopicStarted | None:
    """What a line of a journal says of a topic's answers, not cleaned; None if it is about something else."""
    seen = glance(line)
    if seen is not None and seen.kind not in (Sample.kind, TopicStarted.kind):
        return None
    event = decode(line).event
    return event if isinstance(event, Sample | TopicStarted) else None
