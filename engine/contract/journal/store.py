"""Reads and writes the append-only files of a run by whole lines; a torn last line does not count."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from xxhash import xxh3_64_hexdigest

from engine.contract.errors import InputError, Unwritable
from engine.contract.journal.codec import LONGEST_LINE, decode, encode
from engine.contract.journal.events import Event, Record
from engine.contract.regular_file import only_regular
from engine.contract.run_folder.files import flush_to_disk, open_own
from engine.contract.run_folder.lock import only_writer

CHUNK = 1 << 20  # bytes read at a time
HEAD = 256  # first bytes of a journal; they contain its start time


class Tail:
    """Reads the lines added to a file since the last read; `offset` is where the next whole line begins.

    `replaced` is true if the first bytes differ from an earlier read: the folder was removed and made again. A line of
    more than LONGEST_LINE bytes is cut to one byte more, so that `decode` refuses it; the rest is never in memory.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self.replaced = False
        self._head = b""
        self._torn = 0  # bytes after `offset` that are known to have no newline

    def read(self, limit: int = CHUNK) -> list[tuple[int, bytes]]:
        """Returns the same as `lines`, each line with its byte offset."""
        place, lines = self._next(limit)
        found = []
        for line in lines:
            found.append((place, line))
            place += len(line) + 1
        return found

    def lines(self, limit: int = CHUNK) -> list[bytes]:
        """Returns whole lines from the offset on, about `limit` bytes at most; an empty list at the end.

        A file that does not exist yet has no lines. If the file became shorter (a repair cut its torn last line),
        reading goes on from its new end.
        """
        return self._next(limit)[1]

    def _next(self, limit: int) -> tuple[int, list[bytes]]:
        """Returns the next lines after the byte offset of the first one. A line that is cut comes alone."""
        try:
            with open(self.path, "rb", opener=only_regular) as file:
                head = file.read(HEAD)
                self.replaced |= not head.startswith(self._head)
                self._head = head
                size = os.fstat(file.fileno()).st_size
                begin = self.offset = min(self.offset, size)
                torn = self._torn if begin + self._torn <= size else 0
                file.seek(begin + torn)
                data = file.read(limit)
                while data and b"\n" not in data:
                    torn += len(data)
                    data = file.read(limit)
                self._torn = torn if torn >= CHUNK else 0  # a short piece may be cut off and replaced: look again
                if not data:
                    return begin, []
                self._torn = 0
                if torn and (length := torn + data.index(b"\n")) > LONGEST_LINE:
                    self.offset = begin + length + 1
                    file.seek(begin)
                    return begin, [file.read(LONGEST_LINE + 1)]
                if torn:
                    file.seek(begin)
                    data = file.read(torn + len(data))
        except FileNotFoundError:
            return self.offset, []
        *lines, rest = data.split(b"\n")
        self.offset = begin + len(data) - len(rest)
        return begin, lines


class JournalWriter:
    """Numbers events and appends each in one write. `durable` events are on the disk before append returns."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._descriptor = open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.seq = repair(path)

    def lock(self) -> None:
        """Keeps other writers out until this one is closed; raises InputError if there is another."""
        if not only_writer(self._descriptor):
            os.close(self._descriptor)
            raise InputError(f"{self.path.parent}: an engine is already at work on this run")

    def append(self, event: Event, *, durable: bool = False) -> Record:
        """Appends an event; raises Unwritable if the disk is full or the file is gone.

        A half-written line is removed before the error is raised.
        """
        record = Record(self.seq + 1, self._clock(), event)
        line = encode(record)
        try:
            if len(line) > LONGEST_LINE:
                raise OSError(errno.EMSGSIZE, f"an event of more than {LONGEST_LINE >> 20} MB")
            self._write(line)
            if durable:
                flush_to_disk(self._descriptor)
        except OSError as error:
            raise Unwritable(self.path, error) from error
        self.seq = record.seq
        return record

    def _write(self, line: bytes) -> None:
        found = os.fstat(self._descriptor)
        if not found.st_nlink:  # a deleted file still accepts writes, but no reader will see them
            raise FileNotFoundError(errno.ENOENT, "deleted")
        if os.write(self._descriptor, line) != len(line):
            os.ftruncate(self._descriptor, found.st_size)
            raise OSError(errno.ENOSPC, "no space left for the journal")

    def close(self) -> None:
        flush_to_disk(self._descriptor)
        os.close(self._descriptor)


def repair(path: Path) -> int:
    """Cuts off a torn last line. Returns the highest sequence number in the file, -1 if there is none."""
    tail, last = Tail(path), -1
    while lines := tail.lines():
        numbers = (decode(line).seq for line in reversed(lines))
        last = max(last, next((seq for seq in numbers if seq >= 0), -1))  # a damaged last line has no number
    if path.exists() and path.stat().st_size != tail.offset:
        os.truncate(path, tail.offset)
    return last


def identity(path: Path) -> str:
    """Returns what tells this journal from any other: the digest of its first line, which has the time of the start."""
    first = next(iter(Tail(path).lines(HEAD)), b"")
    return xxh3_64_hexdigest(first)


def whole_lines(path: Path) -> int:
    """Returns how many bytes of a file are whole lines."""
    tail = Tail(path)
    while tail.lines():
        pass
    return tail.offset


def records(path: Path, offset: int = 0) -> Iterator[Record]:
    """Yields the whole lines of a journal from byte `offset` on, decoded one by one.

    A line without a time gets the time of the line before it. The first lines get the time of the first line that has
    one.
    """
    tail, t = Tail(path, offset), 0.0
    while lines := tail.lines():
        t = t or next((found for line in lines if (found := decode(line).t)), 0.0)
        for line in lines:
            record = decode(line, t)
            t = record.t
            yield record


def read_journal(path: Path) -> list[Record]:
    """Returns every whole line of a journal, for tests; programs read `records` or `live_records`."""
    return list(records(path))
