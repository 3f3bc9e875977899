"""A terminal that closes during `check` or `score` leaves no folder in TMPDIR and no child behind."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import tiny
import yaml
from terminal import Terminal

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("closed")
    sources = tiny.make_model(place / "model"), tiny.make_curriculum(place / "course", 1)
    (place / "mine.yaml").write_text(yaml.safe_dump(tiny.settings(*sources)))
    text = {"topic": tiny.TOPICS[0], "question": "What good is any lamp at sea?", "answer": "Aye."}
    (place / "texts.jsonl").write_text(json.dumps(text) + "\n")
    return place


def engines(word: str) -> list[str]:
    """Command lines of processes with `word` in them."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in line and "engine." in line:
            found.append(line)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("command", [["check", "mine.yaml"], ["score", "mine.yaml", "texts.jsonl"]], ids=lambda c: c[0])
@pytest.mark.parametrize("way", ["closed", "SIGHUP"])
def test_nothing_is_left(folder: Path, tmp_path: Path, command: list[str], way: str) -> None:
    with Terminal([PROGRAM, *command], cwd=str(folder), TMPDIR=str(tmp_path)) as terminal:
        deadline = time.monotonic() + 60
        while not (list(tmp_path.glob("mindprint-*/journal.jsonl")) or engines(str(tmp_path))):
            assert time.monotonic() < deadline, terminal.text
            terminal.settle(0.05)
        if way == "closed":
            terminal.vanish()
        else:
            os.kill(terminal.pid, signal.SIGHUP)
        terminal.ended(60)
    deadline = time.monotonic() + 60
    while engines(str(tmp_path)):
        assert time.monotonic() < deadline, engines(str(tmp_path))
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []
