"""Incremental reader of a run's journal: cleaned events, and whether the engine is alive."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from engine.contract.journal.codec import decode, preview
from engine.contract.journal.events import EngineRestarted, Record, RunStarted, Sample, Step, TopicStarted, Unknown
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from mindprint_tui.journal.sanitize import clean_event, is_plain
from mindprint_tui.journal.step_batch import Point, Stretch

T = TypeVar("T")
SLICE = 0.02  # seconds of reading before the console handles keys again
BYTES = 1 << 18  # bytes per read
QUIET = 30.0  # seconds without an event after which a living engine counts as `silent`
BLOCK = 64  # lines between two checks of the clock


@dataclass(frozen=True, slots=True)
class Liveness:
    """Whether the engine is alive.

    `alive`: it wrote an event recently. `silent`: it holds the run's lock but writes nothing. `gone`: it holds no lock.
    """

    word: Literal["alive", "silent", "gone"]
    seconds: float  # since the last event


class Feed:
    """Follows the journal of one run.

    Every record is cleaned, has a known type, and has a higher number than the record before it. Answers (`sample`) are
    left out, because they are half of a journal's bytes; use `Samples` to read those of one topic.
    """

    def __init__(self, run: RunDir, offset: int = 0, clock: Callable[[], float] = time.time) -> None:
        """Starts to read at byte `offset` of the journal."""
        self.run = run
        self._clock = clock
        self._tail = Tail(run.journal, offset)
        self._lines: list[bytes] = []
        self._next = 0  # index of the first line in `_lines` that is still unread
        self._seq = -1  # the highest trusted sequence number
        self._met = -1  # the sequence number of the previous line
        self.damaged = 0  # lines that could not be read
        self.drained = True  # whether the last read reached the end of the journal
        self._last = 0.0
        self._noticed = (0.0, 0.0)  # an earlier `_last`, and the monotonic time at which it was new

    def read(self, seconds: float = SLICE) -> list[Record]:
        """Returns new records. Stops after about `seconds`, or at the end of the journal."""
        records: list[Record] = []
        for block in self._until(time.monotonic() + seconds):
            for line in block:
                self._take(line, records)
        return records

    def skim(self, seconds: float = SLICE) -> list[Record | Stretch]:
        """Returns new records as `read` does, but joins consecutive steps of one phase into a Stretch.

        This is several times faster. Only steps with a finite loss are joined. Of each step only the values for the
        curve are parsed; only the last step is decoded completely.
        """
        records: list[Record | Stretch] = []
        points: list[Point] = []
        lines: list[bytes] = []  # one for each point
        phase: tuple[str, str] | None = None
        for block in self._until(time.monotonic() + seconds):
            for line in block:
                seen = preview(line)
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
        """Yields the results of `read` until the end of the journal.

        `read` is this feed's `read` or `skim`. A result may be empty before the end: answers are left out, and many
        answers may follow each other.
        """
        while True:
            yield read()
            if self.drained:
                return

    def _until(self, deadline: float) -> Iterator[list[bytes]]:
        """Yields blocks of unread lines until the deadline. Sets `drained` at the end of the journal."""
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
        """Whether the journal file was deleted and a new run writes a new one in the same folder."""
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
        """Returns whether the engine is alive, silent or gone, and for how long it has been silent.

        The kernel's lock decides whether the engine is gone; silence alone never does. The silence is also measured
        with a monotonic clock, so that a clock that is set back cannot hide it.
        """
        now = time.monotonic()
        if self._noticed[0] != self._last:
            self._noticed = self._last, now
        seconds = max(self._clock() - self._last, now - self._noticed[1]) if self._last else 0.0
        if not self.alive():
            return Liveness("gone", seconds)
        return Liveness("silent" if seconds > QUIET else "alive", seconds)

    def alive(self) -> bool:
        """Returns True if an engine holds the run's lock."""
        return holder(self.run) is not None

    def _take(self, line: bytes, records: list[Record] | list[Record | Stretch]) -> None:
        record = decode(line, self._last)
        if isinstance(record.event, Unknown):
            self.damaged += record.event.damaged
        if not self._later(record.seq):
            return  # a duplicate or out of order: the first line with a number wins
        self._last = record.t  # the time of the latest record, not the largest time: a clock may be set back
        if not isinstance(record.event, Unknown | Sample):
            records.append(Record(record.seq, record.t, _clean(line, record.event)))

    def _stretch(self, points: list[Point], lines: list[bytes], records: list[Record | Stretch]) -> None:
        """Adds one Stretch of these points to `records`.

        Drops points from the end until the last line decodes as a complete step.
        """
        while points:
            record = decode(line := lines.pop(), self._last)
            if isinstance(record.event, Step):
                self._last = record.t
                records.append(Stretch(points, _clean(line, record.event), record.t))
                return
            self.damaged += 1
            points.pop()

    def _later(self, seq: int) -> bool:
        """Returns True if a line with this number comes after the lines read so far.

        A number that jumps ahead is trusted only when the next line continues from it. So one damaged number cannot
        hide the lines that follow.
        """
        if seq <= self._seq or seq == self._met:
            return False
        if seq in (self._seq + 1, self._met + 1):
            self._seq = seq
        self._met = seq
        return True


def _clean(line: bytes, event: Any) -> Any:
    """Returns the event of a line, cleaned. Lists in settings become tuples.

    Most lines are plain, so their event is returned unchanged, which is faster.
    """
    return event if is_plain(line) and not isinstance(event, RunStarted | EngineRestarted) else clean_event(event)


class Samples:
    """Reads the answers of one topic and the starts of its attempts.

    Each call of `read` continues at the point where the last one stopped.
    """

    def __init__(self, run: RunDir, topic: str) -> None:
        self._tail = Tail(run.journal)
        self._topic, self._bytes = topic, topic.encode()

    def read(self, seconds: float = SLICE) -> tuple[list[Sample | TopicStarted], bool]:
        """Returns new events, cleaned, and whether the end of the journal was reached."""
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
    """Returns the answer or topic start in a journal line, not cleaned, or None for other events."""
    seen = preview(line)
    if seen is not None and seen.kind not in (Sample.kind, TopicStarted.kind):
        return None
    event = decode(line).event
    return event if isinstance(event, Sample | TopicStarted) else None
