"""A run that was killed as it started: it is resumed, or begun again under its name."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import yaml

from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
EARLY = ("config.yaml", "engine.out", "engine.lock", "journal.jsonl", "training.log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("killed")
    sources = tiny.make_model(place / "model"), tiny.make_curriculum(place / "course", 1)
    (place / "mine.yaml").write_text(yaml.safe_dump(tiny.settings(*sources, adapters={"strategy": "sft_only"})))
    return place


def program(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(PROGRAM), "--no-ui", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def killed(folder: Path, name: str, files: int) -> RunDir:
    """Starts a run and kills it and its engine with SIGKILL as soon as its folder has so many files."""
    run = RunDir(folder / "logs" / name)
    command = [str(PROGRAM), "--no-ui", "mine.yaml", "--run-id", name]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 250
    while len([path for path in (run.path / name for name in EARLY) if path.exists()]) < files:
        assert time.monotonic() < deadline
    process.kill()
    process.wait()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(run.path).encode() in line.read_bytes():
                os.kill(int(line.parent.name), signal.SIGKILL)
        except OSError:
            continue
    time.sleep(0.2)
    return run


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("way", ["resumed", "begun again"])
def test_it_is_begun(folder: Path, files: int, way: str) -> None:
    name = f"{way.replace(' ', '-')}-{files}"
    run = killed(folder, name, files)
    done = program(folder, *(("--resume", name) if way == "resumed" else ("mine.yaml", "--run-id", name)))
    if way == "begun again" and "exists; choose another" in done.stderr:
        assert run.journal.read_bytes().count(b"\n") > 0, "only a run with events is kept"
        done = program(folder, "--resume", name)
    assert done.returncode == 0, done
    assert json.loads(run.summary.read_text())["exit_status"] == 0


def test_a_folder_without_a_configuration_is_begun_again(folder: Path) -> None:
    (folder / "logs" / "empty").mkdir(parents=True)
    assert "no such run" in program(folder, "--resume", "empty").stderr
    assert program(folder, "mine.yaml", "--run-id", "empty").returncode == 0


@pytest.mark.parametrize("what", ["a note", "an event", "a lock", "a link"])
def test_a_folder_with_anything_else_is_kept(folder: Path, tmp_path: Path, what: str) -> None:
    run = RunDir(folder / "logs" / what.replace(" ", "-"))
    run.path.mkdir(parents=True)
    run.config.write_text("mine: true\n")
    held = None
    if what == "a note":
        (run.path / "notes.txt").write_text("mine")
    elif what == "an event":
        run.journal.write_text("damaged\n")
    elif what == "a lock":
        held = Lock(run)
    else:
        shutil.move(run.path, tmp_path / "elsewhere")
        run.path.symlink_to(tmp_path / "elsewhere")
    done = program(folder, "mine.yaml", "--run-id", run.name)
    assert done.returncode == 2 and "a run of this name exists" in done.stderr
    assert run.config.read_text() == "mine: true\n"
    if held is not None:
        held.release()
