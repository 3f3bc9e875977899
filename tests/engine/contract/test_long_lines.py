"""Long lines of a journal: read in linear time, and cut at a bound."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from engine.contract.errors import Unwritable
from engine.contract.journal import events as e
from engine.contract.journal import store
from engine.contract.journal.codec import LONGEST_LINE, encode
from engine.contract.journal.events import Record, Unknown
from engine.contract.journal.store import CHUNK, JournalWriter, Tail, read_journal, repair


def test_a_torn_line_is_searched_once_and_read_when_it_is_whole(tmp_path: Path, monkeypatch: Any) -> None:
    path, size = tmp_path / "f", 40 * CHUNK
    path.write_bytes(b"one\n" + b"x" * size)
    tail, read = Tail(path), _bytes_read(monkeypatch)
    assert tail.lines() == [b"one"]
    for _ in range(5):
        assert tail.lines() == [] and tail.offset == 4
    assert sum(read) < size + 20 * CHUNK
    with open(path, "ab") as file:
        file.write(b"y\nthree\n")
    assert [(place, len(line)) for place, line in tail.read()] == [(4, size + 1), (size + 6, 5)]
    assert sum(read) < 2 * size + 20 * CHUNK


def test_a_line_of_200_mb_is_cut_and_unreadable(tmp_path: Path, monkeypatch: Any) -> None:
    path, size = tmp_path / "journal.jsonl", 200 << 20
    whole = encode(Record(0, 5.0, e.Paused("ann")))
    with open(path, "wb") as file:
        file.write(whole)
        file.truncate(len(whole) + size)  # zeros, which take no place on the disk
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + encode(Record(2, 6.0, e.Resumed("ann"))))
    read = _bytes_read(monkeypatch)
    first, long, last = read_journal(path)
    assert (first.event, last.event) == (e.Paused("ann"), e.Resumed("ann"))
    assert isinstance(long.event, Unknown) and long.event.problem == "a line of more than 64 MB"
    assert sum(read) < size + LONGEST_LINE + 20 * CHUNK
    assert [place for place, _ in Tail(path).read()] == [0]
    assert repair(path) == 2 and path.stat().st_size > size


def test_the_writer_refuses_a_line_that_no_reader_takes(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal.jsonl")
    with pytest.raises(Unwritable, match="an event of more than 64 MB"):
        writer.append(e.Preparing("x" * LONGEST_LINE))
    assert writer.append(e.Paused("ann")).seq == 0
    writer.close()


def _bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which each read of a file that `store` opens adds its size in bytes."""
    sizes: list[int] = []

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            sizes.append(len(data))
            return data

    def counted(path: Path, _mode: str, opener: Any) -> Counted:
        return Counted(io.FileIO(path, "rb", opener=opener))

    monkeypatch.setattr(store, "open", counted, raising=False)
    return sizes
