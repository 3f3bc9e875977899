"""The layout of logs/<run>/, who may write there, and whether its engine is alive."""

import errno
import fcntl
import json
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import InputError, Unwritable
from engine.contract.names import run_name
from engine.contract.own import own


@dataclass(frozen=True, slots=True)
class RunDir:
    """The files of one run."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def commands(self) -> Path:
        return self.path / "commands.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "training.log"

    @property
    def output(self) -> Path:
        """What the engine process itself printed: libraries' words, and a crash's last ones."""
        return self.path / "engine.out"

    @property
    def adapters(self) -> Path:
        return self.path / "adapters"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def lock(self) -> Path:
        return self.path / "engine.lock"


def create(logs: Path, name: str) -> RunDir:
    """Makes a new run folder, readable by its owner only; raises InputError where that cannot be."""
    path = logs / run_name(name)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        if not logs.is_dir():
            raise InputError(f"{logs}: a file, where the folder of the runs is expected") from error
        raise InputError(f"{path}: a run of this name exists; choose another --run-id") from error
    except OSError as error:
        raise InputError(f"{path}: the run folder cannot be made ({error.strerror})") from error
    return RunDir(path)


def fresh_name(stem: str, logs: Path, now: float) -> str:
    """A run name from the configuration's name and the time, not yet taken in logs."""
    clean = "".join(c if c.isalnum() and c.isascii() else "-" for c in stem).strip("-") or "run"
    base = f"{clean[:60]}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    names = [base, *(f"{base}-{i}" for i in range(2, 1000))]
    return next(name for name in names if not (logs / name).exists())


def find(logs: Path, name: str | None) -> RunDir:
    """The run of that name, or the newest; raises InputError where there is none."""
    if name is None:
        runs = list_runs(logs)
        if not runs:
            raise InputError(f"{logs}: no runs yet; start one with: mindprint-tui CONFIG")
        return runs[0]
    path = logs / run_name(name)
    if not (path / "journal.jsonl").is_file():
        known = ", ".join(run.name for run in list_runs(logs)[:5]) or "none"
        raise InputError(f"{path}: no such run; runs here, newest first: {known}")
    return RunDir(path)


def list_runs(logs: Path) -> list[RunDir]:
    """Runs in logs, newest first."""
    found = []
    for file in logs.glob("*/journal.jsonl"):
        with suppress(OSError):  # it was removed since, or may not be read
            found.append((_born(file), file.parent.stat().st_ctime, file.parent))
    return [RunDir(path) for _, _, path in sorted(found, key=lambda item: item[:2], reverse=True)]


def _born(journal: Path) -> float:
    """The time of the first event; the file's own time where it holds none yet."""
    with open(journal, "rb") as file:
        line = file.readline(1 << 16)
    try:
        began = float(json.loads(line)["t"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        began = math.nan
    return began if math.isfinite(began) else journal.stat().st_mtime


LOOKS = 10  # tries to take a lock: a console that asks who holds it has it for an instant itself


class Lock:
    """Held by the engine for as long as it lives; the kernel lets it go when the process dies, however it dies.

    `unheard` is the size of commands.jsonl when it was taken: what had been asked by then was asked of nobody.
    """

    def __init__(self, run: RunDir, inherited: int | None = None) -> None:
        """Takes the lock, or shares the one that a supervisor hands on; raises InputError where another has it."""
        if inherited is not None:
            if not os.path.samestat(os.fstat(inherited), run.lock.stat()):
                raise InputError(f"{run.path}: the lock that was handed on is not this run's")
            os.set_inheritable(inherited, False)
            self._descriptor = inherited
            self.unheard = int(json.loads(os.pread(inherited, 4096, 0))["unheard"])
            self.sign()
            return
        try:
            self._descriptor = own(run.lock, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise InputError(str(Unwritable(run.lock, error))) from error
        for left in reversed(range(LOOKS)):
            self.unheard = run.commands.stat().st_size if run.commands.exists() else 0
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if not left:
                    os.close(self._descriptor)
                    raise InputError(f"{run.path}: an engine is already at work on this run") from error
                time.sleep(0.01)
            except OSError as error:
                os.close(self._descriptor)
                why = f"its disk cannot lock a file ({error.strerror}); keep runs on one that can (--logs)"
                raise InputError(f"{run.path}: {why}") from error
        self.sign()

    @property
    def descriptor(self) -> int:
        """To hand on to a child process: the lock is held until both have closed it."""
        return self._descriptor

    def sign(self) -> None:
        """Says that this process is the one to ask about the run."""
        told = {"pid": os.getpid(), "started": time.time(), "unheard": self.unheard}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(told).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def holder(run: RunDir) -> int | None:
    """The pid of the engine that is alive on this run, None where there is none; asks the kernel, not the clock."""
    try:
        descriptor = own(run.lock, os.O_RDONLY | os.O_NONBLOCK)  # a pipe in its place is nothing to wait for
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return int(json.loads(os.read(descriptor, 4096))["pid"])
        except (ValueError, KeyError, TypeError):
            return -1
    except OSError:
        pass  # where nothing can be locked, no engine is at work
    finally:
        os.close(descriptor)
    return None


def unheard(run: RunDir) -> int:
    """How much of commands.jsonl was there before the engine that is alive on this run; 0 where that cannot be told."""
    try:
        return int(json.loads(run.lock.read_text(encoding="utf-8"))["unheard"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
