"""A run folder that came from somebody else: no symbolic link in it leads a writer to a file of another kind."""

import os
from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.commands import append, new_command
from engine.contract.run_folder.folder import RunDir, list_runs
from engine.contract.run_folder.lock import Lock, holder
from engine.runtime.recorder import Recorder
from mindprint_tui.process import programs

MINE = b"Host *\n  IdentityFile ~/.ssh/id\n torn"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


@pytest.mark.parametrize(
    "name", [".reserve", "training.log", "journal.jsonl", "engine.lock", "commands.jsonl", "engine.out"]
)
def test_a_link_in_place_of_a_file_is_refused_and_followed_nowhere(run: RunDir, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "config"
    mine.write_bytes(MINE)
    mine.chmod(0o644)
    (run.path / name).symlink_to(mine)
    with pytest.raises((OSError, InputError), match=r"it is a symbolic link|Too many levels of symbolic links"):
        Lock(run).release()
        Recorder(run).close()
        append(run.commands, new_command("pause"))
        programs.spawn(run).kill()
    assert mine.read_bytes() == MINE and mine.stat().st_mode & 0o777 == 0o644


def test_nobody_is_at_work_behind_a_link_or_a_pipe(run: RunDir, tmp_path: Path) -> None:
    JournalWriter(run.journal).close()
    other = RunDir(tmp_path / "other")
    other.path.mkdir()
    lock = Lock(other)
    run.lock.symlink_to(other.lock)
    assert holder(run) is None and holder(other) == os.getpid()
    lock.release()
    run.lock.unlink()
    os.mkfifo(run.lock)
    assert holder(run) is None, "and it does not wait for somebody to write"
    assert [each.name for each in list_runs(tmp_path)] == ["run"]
