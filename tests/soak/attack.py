"""Damages a run's folder as a disk or a stranger can, and goes on with it: the same bytes, or a sentence.

    python tests/soak/attack.py [--every N] [--only WORD]

Each fault is done to a copy of one run that was stopped in the middle of its second topic. Printed is a line for each:
the fault, what was expected, what was seen, and `ok` or `BAD`. A run that goes on to other bytes, a traceback, a hang
and a loss of what was committed are BAD; exit status 1 if there is one.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import pytest
import tiny
from breaking import SECOND, stopping_after

from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir, list_runs
from engine.rules.enforce import Broken
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.run_state import RunState, fold
from mindprint_tui.report import gather, page

PATIENCE = 120  # seconds after which a fault counts as a hang
FILES = (
    "journal.jsonl", "config.yaml", "adapters/ledger.json", "checkpoint/state.json", "checkpoint/arrays.safetensors",
    "adapters/001-unit-01.chapter-01.topic-01-sft/adapters.safetensors",
    "adapters/001-unit-01.chapter-01.topic-01-sft/adapter_config.json",
    "engine.lock", "commands.jsonl", "training.log", "engine.out", "summary.json",
)  # fmt: skip
FOLDERS = ("adapters", "checkpoint", "adapters/001-unit-01.chapter-01.topic-01-sft")
LATER = ("commands.jsonl", "engine.out", "summary.json")  # which the stopped run may not have


class Hung(Exception):
    """A fault held its reader longer than PATIENCE."""


@dataclass(frozen=True)
class Fault:
    """One damage to a run folder."""

    name: str
    do: Callable[[Path], None]


@dataclass(frozen=True)
class Verdict:
    """What a fault was expected to come to, what was seen, and whether that is good."""

    fault: str
    expected: str
    seen: str
    good: bool

    def __str__(self) -> str:
        return f"{'ok ' if self.good else 'BAD'}  {self.fault:<58}  {self.expected:<22}  {self.seen}"


def faults(run: RunDir) -> Iterator[Fault]:
    """Every fault for a run as it was stopped: each line of its journal, each file, each folder."""
    lines = run.journal.read_bytes().splitlines(keepends=True)
    for place, line in enumerate(lines):
        kind = line.partition(b'"kind": "')[2].partition(b'"')[0].decode()
        for name, made in line_damages(line):
            yield Fault(f"journal line {place + 1} ({kind}): {name}", _line(lines, place, made))
    for name in FILES:
        for way, do in file_damages(name):
            yield Fault(f"{name}: {way}", _at(name, do))
    for name in FOLDERS:
        for way, do in (("deleted", _delete), ("a file", _file_instead), ("a link elsewhere", _link_instead)):
            yield Fault(f"{name}/: {way}", _at(name, do))


def line_damages(line: bytes) -> Iterator[tuple[str, list[bytes]]]:
    middle = len(line) // 2
    yield "a bad byte first", [b"\xff" + line[1:]]
    yield "a bad byte in the middle", [line[:middle] + b"\xff" + line[middle + 1 :]]
    yield "cut in half", [line[:middle] + b"\n"]
    yield "zeros", [bytes(len(line) - 1) + b"\n"]
    yield "removed", []
    yield "twice", [line, line]


def file_damages(name: str) -> Iterator[tuple[str, Callable[[Path], None]]]:
    yield "deleted", _delete
    yield "emptied", lambda path: path.write_bytes(b"")
    yield "cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if name != "journal.jsonl":  # of which each line is damaged by itself
        yield "a bit flipped in the middle", lambda path: _flip(path, path.stat().st_size // 2)
        yield "a bit flipped at the end", lambda path: _flip(path, path.stat().st_size - 4)
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


def _file_instead(path: Path) -> None:
    _delete(path)
    path.write_bytes(b"a file")


def _link_instead(path: Path) -> None:
    """To something of the same kind and content, which nobody may write to."""
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


class Attack:
    """One stopped run, and what it comes to where nothing is damaged."""

    def __init__(self, folder: Path) -> None:
        sources = tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "course", 2)
        settings = tiny.settings(*sources, adapters={"strategy": "sft_only"})
        self.folder = folder
        self.whole = tiny.train_here(tiny.new_run(folder / "whole", settings)).adapters()
        self.stopped = tiny.new_run(folder / "stopped" / "run", settings)
        with pytest.MonkeyPatch.context() as patch:
            stopping_after(patch, "save_checkpoint", SECOND)
            assert tiny.train_here(self.stopped).status == 130

    def verdict(self, fault: Fault) -> Verdict:
        """Damages a copy, shows it as the console does, and goes on with it."""
        place = self.folder / "copy"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.stopped.path.parent, place)
        run = RunDir(place / "run")
        fault.do(run.path)
        before = _bytes(run)
        expected, good = "same bytes or refused", False
        try:
            with _impatient():
                _look(run)
                seen = self._resumed(run)
                good = seen.startswith(("the same bytes", "refused"))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            seen = f"{type(error).__name__}: {error}".splitlines()[0]
        lost = [name for name, data in before.items() if _bytes(run).get(name) != data]
        if lost and not seen.startswith("the same bytes"):
            seen, good = f"{seen}; LOST {lost[0]}", False
        return Verdict(fault.name, expected, seen[:200], good)

    def _resumed(self, run: RunDir) -> str:
        try:
            status = tiny.train_here(run).status
        except (InputError, Broken) as error:
            return f"refused: {str(error).replace(str(run.path), 'RUN')}"
        except OSError as error:
            return f"refused: {error.strerror}"
        same = tiny.Ran(run).adapters() == self.whole
        return "the same bytes" if same and status == 0 else f"OTHER BYTES, status {status}"


def _bytes(run: RunDir) -> dict[str, bytes]:
    """What was committed, wherever it can be read."""
    files = run.adapters.glob("*/adapters.safetensors") if run.adapters.is_dir() else []
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def _look(run: RunDir) -> None:
    """What the console, the list of runs and the report make of it."""
    assert not run.journal.exists() or run in list_runs(run.path.parent)
    with contextlib.suppress(OSError, InputError):  # which each of them shows as a sentence
        state, feed = RunState(), Feed(run)
        for records in feed.rest(feed.read):
            state = fold(state, records)
        page.render(gather.gather(run))


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise Hung(f"it waited for {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attack(folder: Path, every: int = 1, only: str = "", show: Callable[[str], None] = print) -> list[Verdict]:
    """Does every `every`-th of the faults whose names have `only` in them; returns the verdicts."""
    under = Attack(folder)
    chosen = [fault for fault in faults(under.stopped) if only in fault.name][::every]
    verdicts = []
    for fault in chosen:
        verdicts.append(under.verdict(fault))
        show(str(verdicts[-1]))
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mindprint-attack-") as folder:
        verdicts = attack(Path(folder), given.every, given.only)
    seen = Counter("BAD" if not each.good else each.seen.partition(":")[0] for each in verdicts)
    print(f"{len(verdicts)} faults: " + ", ".join(f"{count} {word}" for word, count in seen.most_common()))
    return 1 if seen["BAD"] else 0


if __name__ == "__main__":
    sys.exit(main())
