"""Damages a run's folder as a disk or a stranger can, reads it with each reader, and resumes it.

    python tests/soak/attack.py [--every N] [--only WORD] [--brief]

Each fault is done to a copy of one run that was stopped in the middle of its second topic. For each fault a line for
each reader is printed, and one for resuming: the fault, the reader, what was seen, and `ok` or `BAD`. Good is the same
output or bytes, a refusal in one sentence, and, where a journal lost facts, a reader that says so. Other bytes, a
traceback, a hang, a reader that writes into the folder and a loss of what was committed are BAD; exit status 1 if
there is one. `--brief` prints only these.
"""

import argparse
import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
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
from faults import Fault, faults
from readers import READERS, judged

from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.rules.enforce import Broken

PATIENCE = 120  # seconds after which a fault counts as a hang
RESUME = "resume"


class Hung(Exception):
    """A fault held its reader longer than PATIENCE."""


@dataclass(frozen=True)
class Verdict:
    """What a reader made of a fault, and whether that is good."""

    fault: str
    reader: str
    seen: str
    good: bool

    def __str__(self) -> str:
        return f"{'ok ' if self.good else 'BAD'}  {self.fault:<62}  {self.reader:<8}  {self.seen}"

    @property
    def outcome(self) -> str:
        """The part of `seen` that verdicts are counted by."""
        return self.seen.partition(":")[0] if self.good else "BAD"


class Attack:
    """One stopped run, and what each reader makes of it if nothing is damaged."""

    def __init__(self, folder: Path) -> None:
        sources = tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "course", 2)
        settings, others = (
            tiny.settings(*sources, adapters={"strategy": "sft_only"}, run={"seed": seed}) for seed in (0, 1)
        )
        self.folder, self.spare = folder, folder / "spare"
        self.whole = _results(tiny.train_here(tiny.new_run(folder / "whole", settings)))
        self.stopped = _stopped(folder / "stopped" / "run", settings)
        self.other = _stopped(folder / "stopped" / "neighbour", others)
        self.spare.mkdir()
        self.shown = {name: read(self._copy(), self.spare) for name, read in READERS.items()}

    def verdicts(self, fault: Fault) -> list[Verdict]:
        """Damages a copy, shows it to each reader, and resumes it."""
        run = self._copy()
        fault.do(run.path)
        before, committed = _state(run), _committed(run)
        found = []
        for name in READERS:
            seen, good = self._seen(lambda name=name: judged(name, run, self.spare, self.shown[name], fault))
            if (after := _state(run)) != before:
                seen, good, before = f"{seen}; WROTE INTO THE FOLDER", False, after
            found.append(Verdict(fault.name, name, seen, good))
        seen, good = self._seen(lambda: self._resumed(run))
        lost = [name for name, data in committed.items() if _committed(run).get(name) != data]
        if lost and not seen.startswith("the same bytes"):
            seen, good = f"{seen}; LOST {lost[0]}", False
        return [*found, Verdict(fault.name, RESUME, seen, good)]

    def _copy(self) -> RunDir:
        place = self.folder / "copy"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.stopped.path.parent, place)
        return RunDir(place / "run")

    def _seen(self, look: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
        try:
            with _impatient(), _bound_by_permissions():
                seen, good = look()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            seen, good = f"{type(error).__name__}: {error}", False
        return (seen.splitlines() or [""])[0][:240], good

    def _resumed(self, run: RunDir) -> tuple[str, bool]:
        try:
            status = tiny.train_here(run).status
        except (InputError, Broken) as error:
            return f"refused: {str(error).replace(str(run.path), 'RUN')}", True
        except OSError as error:
            return f"refused: {error.strerror or error}", True
        same = status == 0 and _results(tiny.Ran(run)) == self.whole
        return ("the same bytes" if same else f"OTHER BYTES, status {status}"), same


def _stopped(folder: Path, settings: dict[str, object]) -> RunDir:
    """Returns a run that was stopped at a checkpoint of its second topic."""
    run = tiny.new_run(folder, settings)
    with pytest.MonkeyPatch.context() as patch:
        stopping_after(patch, "save_checkpoint", SECOND)
        assert tiny.train_here(run).status == 130
    return run


def _results(ran: tiny.Ran) -> tuple[object, object]:
    """Returns the adapters and the summary of a run: scores, verdicts, fingerprints."""
    return ran.adapters(), ran.told()


def _committed(run: RunDir) -> dict[str, bytes]:
    """Returns the bytes of the committed adapters that can be read."""
    files = run.adapters.glob("*/adapters.safetensors") if run.adapters.is_dir() else []
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def _state(run: RunDir) -> dict[str, str]:
    """Returns a digest of each regular file of a run."""
    files = (path for path in run.path.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextlib.contextmanager
def _bound_by_permissions() -> Iterator[None]:
    """Takes root's right to read and write every file from this thread."""
    if os.geteuid() != 0 or sys.platform != "linux":
        yield
        return
    system, head = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, bound = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    system.capget(head, before)
    bound[:] = before[:]
    bound[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, in the effective set
    system.capset(head, bound)
    try:
        yield
    finally:
        system.capset(head, before)


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


def attack(folder: Path, every: int = 1, only: str = "", show: Callable[[Verdict], object] = print) -> list[Verdict]:
    """Does every `every`-th of the faults with `only` in their names. Returns the verdicts of all readers."""
    under = Attack(folder)
    chosen = [fault for fault in faults(under.stopped, under.other) if only in fault.name][::every]
    verdicts = []
    for fault in chosen:
        for verdict in under.verdicts(fault):
            verdicts.append(verdict)
            show(verdict)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--brief", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mindprint-attack-") as folder:
        show = (lambda verdict: verdict.good or print(verdict)) if given.brief else print
        verdicts = attack(Path(folder), given.every, given.only, show)
    print(f"{len({each.fault for each in verdicts})} faults")
    for reader in (*READERS, RESUME):
        seen = Counter(each.outcome for each in verdicts if each.reader == reader)
        print(f"{reader:<8}  " + ", ".join(f"{count} {word}" for word, count in seen.most_common()))
    return 0 if all(each.good for each in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
