"""Writes drafts and what was dropped: in blocks of whole lines, and without what an interrupted reading left."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from engine.contract.errors import Unwritable
from engine.contract.run_folder.files import append_line, open_own, temporary_path
from engine.contract.workbook.drafts import Draft
from engine.contract.workbook.files import WorkbookDir, read_lines

BLOCK = 500  # lines that are written at a time
T = TypeVar("T", bound=Struct)
_encode = msgspec.json.Encoder().encode


class DroppedLine(Struct):
    """A line of dropped.jsonl: something that no draft was made of, and why. `note` says what is damaged."""

    source: str
    place: str
    reason: str
    text: str
    note: str = ""


class DraftStore:
    """The drafts and drops of a workbook. `known` has the source of each draft by its id."""

    def __init__(self, folder: WorkbookDir) -> None:
        self._folder = folder
        self.known: dict[str, str] = {}
        self._decided: dict[str, str] = {}  # drafts of sources that are read again, which stayed for their decision
        self._waiting: dict[Path, list[bytes]] = {folder.drafts: [], folder.dropped: []}

    def forget(self, sources: set[str], decided: set[str]) -> None:
        """Removes drafts and drops of the sources that are about to be read; drafts with a decision stay.

        Also loads the ids of all drafts that stay.
        """

        def stays(draft: Draft) -> bool:
            if draft.source in sources and draft.id not in decided:
                return False
            self.known[draft.id] = draft.source
            if draft.source in sources:
                self._decided[draft.id] = draft.source
            return True

        if self._folder.drafts.exists():
            filter_lines(self._folder.drafts, Draft, stays)
        if self._folder.dropped.exists():
            filter_lines(self._folder.dropped, DroppedLine, lambda line: line.source not in sources)

    def is_decided(self, id: str, source: str) -> bool:
        """Tells whether a draft of a source that is read again stayed for its decision; true once for each."""
        return self._decided.get(id) == source and self._decided.pop(id) == source

    def add(self, line: Draft | DroppedLine) -> None:
        """Adds a line, which is written with the next block."""
        if isinstance(line, Draft):
            self.known[line.id] = line.source
        waiting = self._waiting[self._folder.drafts if isinstance(line, Draft) else self._folder.dropped]
        waiting.append(_encode(line))
        if len(waiting) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Writes what waits. Raises Unwritable."""
        for path, lines in self._waiting.items():
            if lines:
                try:
                    append_line(path, b"\n".join(lines), durable=True)
                except OSError as error:
                    raise Unwritable(path, error) from error
                lines.clear()


def filter_lines(path: Path, type: type[T], stays: Callable[[T], bool]) -> None:
    """Keeps the lines of a file that are to stay, in one step. Raises Unwritable and InputError."""
    rewrite_lines(path, (line for _, line in read_lines(path, type) if stays(line)))


def rewrite_lines(path: Path, lines: Iterable[Struct]) -> None:
    """Replaces a file by one with these lines, which may be read from it. Raises Unwritable."""
    beside = temporary_path(path, os.getpid())
    try:
        with open(beside, "wb", opener=open_own) as file:
            file.truncate()
            file.writelines(_blocks(lines))
        beside.replace(path)
    except OSError as error:
        raise Unwritable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _blocks(lines: Iterable[Struct]) -> Iterator[bytes]:
    for line in lines:
        yield _encode(line) + b"\n"
