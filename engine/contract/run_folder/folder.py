"""The layout of logs/<run>/, and functions that create, find and list runs."""

import json
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.names import run_name
from engine.contract.regular_file import NotRegular, only_regular


@dataclass(frozen=True, slots=True)
class RunDir:
    """The paths of one run's files and folders."""

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
        """Output of the engine process itself: messages of libraries, and the last lines before a crash."""
        return self.path / "engine.out"

    @property
    def adapters(self) -> Path:
        return self.path / "adapters"

    @property
    def rolled_back(self) -> Path:
        """The last adapters that were rolled back, which a person can hear and keep."""
        return self.path / "rolled-back"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def scores(self) -> Path:
        """The fitted scorer, which every evaluation of the run uses."""
        return self.path / "scores"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def votes(self) -> Path:
        """A person's votes on pairs of answers."""
        return self.path / "votes.jsonl"

    @property
    def notified(self) -> Path:
        """What was told to whom, and what could not be told."""
        return self.path / "notified.jsonl"

    @property
    def judge(self) -> Path:
        """What a judge said about the answers."""
        return self.path / "judge.jsonl"

    @property
    def lock(self) -> Path:
        return self.path / "engine.lock"


PLACES = [name for name, item in vars(RunDir).items() if isinstance(item, property) and name != "name"]
OWN = frozenset(getattr(RunDir(Path()), name).name for name in PLACES)  # names of a run's files and folders


def require_free(target: Path) -> None:
    """Raises InputError if `target` is a path that a run reserves for its own files, even if nothing is there yet."""
    place = Path(os.path.realpath(target))  # never raises, not even for a circle of links
    for folder in place.parents:
        name = place.relative_to(folder).parts[0]
        if (name in OWN or name.startswith(".")) and os.path.lexists(folder / RunDir(folder).journal.name):
            raise InputError(f"{target}: a place for the run's own files; name another one")


def create(logs: Path, name: str) -> RunDir:
    """Makes a new run folder, readable by its owner only; raises InputError if that fails."""
    path = logs / run_name(name)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        if not logs.is_dir():
            raise InputError(f"{logs}: found a file, expected the folder of the runs") from error
        raise InputError(f"{path}: a run of this name exists; choose another --run-id") from error
    except OSError as error:
        raise InputError(f"{path}: the run folder cannot be made ({error.strerror})") from error
    return RunDir(path)


def fresh_name(stem: str, logs: Path, now: float) -> str:
    """Returns a run name that is not taken in `logs`, made of the configuration's name and the time."""
    clean = "".join(c if c.isalnum() and c.isascii() else "-" for c in stem).strip("-") or "run"
    base = f"{clean[:60]}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    names = [base, *(f"{base}-{i}" for i in range(2, 1000))]
    return next(name for name in names if not (logs / name).exists())


def find(logs: Path, name: str | None) -> RunDir:
    """Returns the run of that name, or the newest if `name` is None; raises InputError if there is none."""
    if name is None:
        runs = list_runs(logs)
        if not runs:
            raise InputError(f"{logs}: no runs yet; start one with: mindprint-tui CONFIG")
        return runs[0]
    path = logs / run_name(name)
    journal = path / "journal.jsonl"
    try:
        os.close(only_regular(journal, os.O_RDONLY))
    except (PermissionError, IsADirectoryError, NotRegular) as error:
        raise InputError(f"{journal}: the run cannot be read ({error.strerror})") from error
    except OSError:
        known = ", ".join(run.name for run in list_runs(logs)[:5]) or "none"
        raise InputError(f"{path}: no such run; runs here, newest first: {known}") from None
    return RunDir(path)


def list_runs(logs: Path) -> list[RunDir]:
    """Returns the runs in `logs`, newest first. A folder or a journal that cannot be read is listed, too."""
    found = []
    for path in logs.iterdir() if logs.is_dir() else ():
        with suppress(FileNotFoundError, NotADirectoryError):  # not a run, or removed meanwhile
            found.append((_born(path), path.lstat().st_ctime, path))
    return [RunDir(path) for _, _, path in sorted(found, key=lambda item: item[:2], reverse=True)]


def _born(path: Path) -> float:
    """Returns the time of a run's first event in unix seconds; the file's own time if there is none to read."""
    journal = path / "journal.jsonl"
    try:
        with open(journal, "rb", opener=only_regular) as file:
            line = file.readline(1 << 16)
            written = os.fstat(file.fileno()).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError:
        return path.lstat().st_mtime
    try:
        began = float(json.loads(line)["t"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        began = math.nan
    return began if math.isfinite(began) else written
