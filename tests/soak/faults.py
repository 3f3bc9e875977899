"""Faults of a run's folder: each line of its journal, each file and each folder, damaged in many ways."""

import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.run_folder.folder import RunDir

FILES = (
    "journal.jsonl", "config.yaml", "adapters/ledger.json", "checkpoint/state.json", "checkpoint/arrays.safetensors",
    "adapters/001-unit-01.chapter-01.topic-01-sft/adapters.safetensors",
    "adapters/001-unit-01.chapter-01.topic-01-sft/adapter_config.json",
    "scores/scorer.json", "scores/scorer.safetensors",
    "engine.lock", "commands.jsonl", "training.log", "engine.out", "summary.json",
)  # fmt: skip
FOLDERS = ("adapters", "checkpoint", "scores", "adapters/001-unit-01.chapter-01.topic-01-sft")
LATER = ("commands.jsonl", "engine.out", "summary.json")  # files that the stopped run may lack
SEEN = ("a bad byte first", "a bad byte in the middle", "a digit changed", "cut in half", "zeros")  # damage of a line
DIGIT = re.compile(rb"[0-9]")


@dataclass(frozen=True)
class Fault:
    """One damage to a run folder.

    `unreadable` marks one that leaves a line of the journal that no reader can read.
    """

    name: str
    do: Callable[[Path], None]
    unreadable: bool = False

    @property
    def in_journal(self) -> bool:
        return self.name.startswith("journal")


def faults(run: RunDir, other: RunDir) -> Iterator[Fault]:
    """Yields every fault of a stopped run. `other` is another run, whose files replace those of `run`."""
    lines = run.journal.read_bytes().splitlines(keepends=True)
    for place, line in enumerate(lines):
        kind = line.partition(b'"kind": "')[2].partition(b'"')[0].decode()
        for name, made in line_damages(line):
            do = _line(lines, place, made)
            yield Fault(f"journal line {place + 1} ({kind}): {name}", do, name in SEEN)
    for name in FILES:
        for way, do in file_damages(name, other.path / name):
            yield Fault(f"{name}: {way}", _at(name, do))
    for name in FOLDERS:
        for way, do in (("deleted", _delete), ("a file", _file_instead), ("a link elsewhere", _link_instead)):
            yield Fault(f"{name}/: {way}", _at(name, do))
        yield Fault(f"{name}/: no permission", _at(name, lambda path: path.chmod(0)))
        yield Fault(f"{name}/: that of another run", _at(name, _replaced(other.path / name)))


def line_damages(line: bytes) -> Iterator[tuple[str, list[bytes]]]:
    middle = len(line) // 2
    yield "a bad byte first", [b"\xff" + line[1:]]
    yield "a bad byte in the middle", [line[:middle] + b"\xff" + line[middle + 1 :]]
    if digit := DIGIT.search(line, middle):
        changed = b"1" if digit[0] != b"1" else b"2"
        yield "a digit changed", [line[: digit.start()] + changed + line[digit.end() :]]
    yield "cut in half", [line[:middle] + b"\n"]
    yield "zeros", [bytes(len(line) - 1) + b"\n"]
    yield "removed", []
    yield "twice", [line, line]


def file_damages(name: str, other: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    yield "deleted", _delete
    yield "emptied", lambda path: path.write_bytes(b"")
    yield "cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if name != "journal.jsonl":  # the lines of the journal are damaged one by one
        yield "a bit flipped in the middle", lambda path: _flip(path, path.stat().st_size // 2)
        yield "a bit flipped at the end", lambda path: _flip(path, path.stat().st_size - 4)
    yield "no permission", lambda path: path.chmod(0)
    if other.exists():
        yield "that of another run", _replaced(other)
    yield "a pipe", lambda path: (_delete(path), os.mkfifo(path))[0]
    yield "a folder", lambda path: (_delete(path), path.mkdir())[0]
    yield "a link to a device", lambda path: (_delete(path), path.symlink_to("/dev/zero"))[0]
    yield "a link elsewhere", _link_instead
    yield "a socket", _socket_instead


def _line(lines: list[bytes], place: int, made: list[bytes]) -> Callable[[Path], None]:
    return lambda run: (run / "journal.jsonl").write_bytes(b"".join([*lines[:place], *made, *lines[place + 1 :]]))


def _at(name: str, do: Callable[[Path], None]) -> Callable[[Path], None]:
    def there(run: Path) -> None:
        path = run / name
        if name in LATER and not path.exists():
            path.write_bytes(b"something\n")
        do(path)

    return there


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[max(0, place)] ^= 1
        path.write_bytes(data)


def _replaced(other: Path) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        _delete(path)
        (shutil.copytree if other.is_dir() else shutil.copy)(other, path)

    return replace


def _file_instead(path: Path) -> None:
    _delete(path)
    path.write_bytes(b"a file")


def _link_instead(path: Path) -> None:
    """Puts a link to something of the same kind and content, which no program may write to."""
    elsewhere = path.parents[path.parts[::-1].index("run")] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _socket_instead(path: Path) -> None:
    _delete(path)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)
