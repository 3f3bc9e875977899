"""Run folders that cannot be read: the list, the first screen and `R` show them, and all the others."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal import Terminal

from engine.contract.run_folder.folder import RunDir

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))
# root may read everything; without these capabilities it is as any other owner
WITHOUT = "-dac_override,-dac_read_search"
DROP = ["setpriv", f"--bounding-set={WITHOUT}", f"--inh-caps={WITHOUT}"]
BAD = (
    "fifo-journal",
    "folder-journal",
    "loop-journal",
    "device-journal",
    "closed-journal",
    "closed-lock",
    "closed-run",
)
Story = Callable[[str], RunDir]


def as_owner() -> list[str]:
    """Returns what to put before a command so that permissions hold for it, too."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None or subprocess.run([*DROP, "true"], check=False).returncode:
        pytest.skip("permissions do not hold root, and no capability can be dropped here")
    return DROP


@pytest.fixture
def logs(story: Story) -> Path:
    good = story("finished")
    for name in (*BAD, "fifo-lock", "garbage"):
        run = RunDir(good.path.with_name(name))
        shutil.copytree(good.path, run.path)
        place = run.lock if name.endswith("lock") else run.journal
        place.unlink(missing_ok=True)
        kind = name.partition("-")[0]
        if kind == "fifo":
            os.mkfifo(place)
        elif kind == "folder":
            place.mkdir()
        elif kind == "loop":
            place.symlink_to(place.name)
        elif kind == "device":
            place.symlink_to("/dev/zero")
        elif kind == "garbage":
            place.write_bytes(bytes(range(256)) * 100)
        else:
            place.touch()
            (run.path if name == "closed-run" else place).chmod(0)
    os.mkfifo(good.path.with_name("pipe"))
    good.path.with_name("link").symlink_to("nowhere")
    return good.path.parent


@pytest.fixture(autouse=True)
def opened(logs: Path):
    yield
    (logs / "closed-run").chmod(0o700)  # else the folder of the test cannot be removed


def test_runs_lists_all(logs: Path) -> None:
    done = subprocess.run([*as_owner(), PROGRAM, "runs"], capture_output=True, text=True, timeout=200, check=False)
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[2:]}
    assert done.returncode == 0 and set(rows) == {*BAD, "finished", "fifo-lock", "garbage"}
    assert {name for name, row in rows.items() if "bad file" in row} == {*BAD}
    assert "3/3 passed" in rows["finished"] and "Traceback" not in done.stderr


def test_the_first_screen_and_the_list_show_all(logs: Path) -> None:
    with Terminal([*as_owner(), PROGRAM]) as terminal:
        terminal.wait("10 runs in logs")
        terminal.type("G\r")
        terminal.wait("3/3 passed")
        for name in BAD:
            terminal.wait(name)
        terminal.type("q")
        assert terminal.ended() == 0


def test_r_shows_all(logs: Path) -> None:
    with Terminal([*as_owner(), PROGRAM, "attach", "finished"]) as terminal:
        terminal.wait("1 Topics")
        terminal.type("R")
        terminal.wait("3/3 passed")
        for name in BAD:
            terminal.wait(name)
        terminal.type("q")
        assert terminal.ended() == 0
