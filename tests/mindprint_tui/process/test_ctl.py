"""`mindprint-tui ctl`: what the engine answered, on stdout and as the exit status."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.commands import Command, parse
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock

PROGRAM = Path(sys.executable).with_name("mindprint-tui")


def asked(folder: Path) -> tuple[RunDir, Lock, JournalWriter, subprocess.Popen[str], Command]:
    """A run that this process holds, and a pause that a person asks of it."""
    run = RunDir(folder / "logs" / "night")
    run.path.mkdir(parents=True)
    lock, writer = Lock(run), JournalWriter(run.journal)
    writer.append(e.RunStarted("night", "c", 0, 1, {}))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([PROGRAM, "ctl", "night", "pause"], cwd=folder, **pipes)
    while not (run.commands.exists() and run.commands.read_bytes().endswith(b"\n")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    command = parse(run.commands.read_bytes().splitlines()[0], 0)
    assert isinstance(command, Command) and command.kind == "pause"
    return run, lock, writer, process, command


@pytest.mark.parametrize(("outcome", "status"), [("done", 0), ("refused", 1)])
def test_the_answer_is_printed_and_is_the_status(
    tmp_path: Path, outcome: Literal["done", "refused"], status: int
) -> None:
    _, lock, writer, process, command = asked(tmp_path)
    writer.append(e.CommandTaken("another", "pause", "refused" if status == 0 else "done", "to somebody else"))
    writer.append(e.CommandTaken(command.id, "pause", outcome, "the run is what it is"))
    said, words = process.communicate(timeout=60)
    assert (process.returncode, said, words) == (status, f"{outcome}: the run is what it is\n", "")
    writer.close()
    lock.release()


def test_an_engine_that_went_without_an_answer_is_status_3(tmp_path: Path) -> None:
    _, lock, writer, process, _ = asked(tmp_path)
    writer.close()
    lock.release()
    said, words = process.communicate(timeout=60)
    assert (process.returncode, said, words) == (3, "", "the engine ended before it answered\n")


@pytest.mark.parametrize("word", ["the wick", "wick", "unit-01/chapter-01/wick"])
def test_a_topic_is_named_by_title_last_part_or_id(tmp_path: Path, word: str) -> None:
    run = RunDir(tmp_path / "logs" / "night")
    run.path.mkdir(parents=True)
    lock, writer = Lock(run), JournalWriter(run.journal)
    topics = tuple(e.TopicInfo(f"unit-01/chapter-01/{id}", f"The {id}", 1, 1, 1) for id in ("wick", "oil"))
    writer.append(e.CurriculumLoaded(topics, ()))
    process = subprocess.Popen([PROGRAM, "ctl", "night", "skip", word], cwd=tmp_path, stdout=subprocess.PIPE)
    while not run.commands.exists() or not run.commands.stat().st_size:
        assert process.poll() is None
        time.sleep(0.02)
    command = parse(run.commands.read_bytes().splitlines()[0], 0)
    assert isinstance(command, Command) and command.topic == "unit-01/chapter-01/wick"
    writer.close()
    lock.release()
    process.communicate(timeout=60)
    wrong = [PROGRAM, "ctl", "night", "skip", "lamp"]
    done = subprocess.run(wrong, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no topic 'lamp'. The topics are:\n  unit-01/chapter-01/wick" in done.stderr
