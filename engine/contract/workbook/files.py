"""The files of a workbook: drafts, decisions and made texts, each appended by whole lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from engine.contract.errors import InputError, Unwritable
from engine.contract.journal.store import Tail
from engine.contract.regular_file import read_bytes
from engine.contract.run_folder.files import append_line, replace_own
from engine.contract.workbook.drafts import Decision, Draft, Made, Topic

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Topics(Struct):
    """The topics of a workbook, and the topic of each draft by its id."""

    topics: list[Topic] = []
    of: dict[str, str] = {}


class WorkbookDir:
    """Paths of the folder that `mindprint-tui new` makes; `files` are made of what `workbook` holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inner = path / "workbook"
        self.drafts = self.inner / "drafts.jsonl"
        self.decisions = self.inner / "decisions.jsonl"
        self.made = self.inner / "made.jsonl"
        self.topics = self.inner / "topics.json"
        self.request = self.inner / "request.json"
        self.dropped = path / "dropped.jsonl"
        self.config = path.with_name(path.name + ".yaml")

    def exists(self) -> bool:
        """Whether the folder is a workbook."""
        return self.drafts.is_file()


def read_lines(path: Path, type: type[T]) -> Iterator[tuple[int, T]]:
    """Yields the number and the content of each whole line; a torn last line does not count.

    Nothing is yielded if there is no such file. Raises InputError, which names the line, for one that does not fit.
    """
    decode = msgspec.json.Decoder(type).decode
    tail, number = Tail(path), 0
    try:
        while lines := tail.lines():
            for line in lines:
                number += 1
                if line.strip():
                    yield number, decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {number}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror or error})") from error


def append(path: Path, line: Draft | Decision | Made, *, durable: bool = False) -> None:
    """Appends one line in one write. Raises Unwritable."""
    try:
        append_line(path, _encode(line), durable=durable)
    except OSError as error:
        raise Unwritable(path, error) from error


def read_topics(folder: WorkbookDir) -> Topics:
    """Returns the topics; none if they were not made yet. Raises InputError."""
    try:
        return msgspec.json.decode(read_bytes(folder.topics), type=Topics)
    except FileNotFoundError:
        return Topics()
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"{folder.topics}: {error}") from error


def write_topics(folder: WorkbookDir, topics: Topics) -> None:
    """Replaces the topics in one step. Raises Unwritable."""
    try:
        replace_own(folder.topics, msgspec.json.format(_encode(topics)))
    except OSError as error:
        raise Unwritable(folder.topics, error) from error
