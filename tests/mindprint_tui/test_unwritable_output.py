"""Output that cannot be written: the program says so, and leaves no engine behind that it does not wait for."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import yaml
from disks import small_disk

from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
FULL = "No space left on device"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("unwritable")
    sources = tiny.make_model(place / "model"), tiny.make_curriculum(place / "course", 1)
    (place / "mine.yaml").write_text(yaml.safe_dump(tiny.settings(*sources, adapters={"strategy": "sft_only"})))
    return place


def trained(folder: Path, name: str, redirection: str) -> "subprocess.CompletedProcess[str]":
    command = [str(PROGRAM), "--no-ui", "mine.yaml", "--run-id", name]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_on_a_full_disk_nothing_is_started(folder: Path) -> None:
    done = trained(folder, "full", "> /dev/full")
    assert done.returncode == 2
    assert done.stderr.strip() == f"mindprint-tui: the output cannot be written ({FULL}); nothing was started"
    assert not (folder / "logs" / "full").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_with_stderr_on_the_same_full_disk_nothing_is_started_either(folder: Path) -> None:
    assert trained(folder, "both", "> /dev/full 2>&1").returncode == 2
    assert not (folder / "logs" / "both").exists()


def test_a_disk_that_fills_up_costs_lines_and_not_the_run(folder: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            pytest.skip("no file system may be mounted here")
        log, rest = tmp_path / "disk" / "log", tmp_path / "disk" / "rest"
        log.write_text("\n" * 3000)
        with open(rest, "wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(4096))
        done = trained(folder, "later", f">> {log}")
        written = log.read_text()
    run = RunDir(folder / "logs" / "later")
    assert done.returncode == 0 and holder(run) is None
    assert (
        done.stderr.strip()
        == f"the output cannot be written ({FULL}); the run continues, with lines in {run.log}".replace(
            f"{folder}/", ""
        )
    )
    assert written.strip().startswith("run logs/later") and "run finished" not in written
    assert run.summary.exists() and "topic" in run.log.read_text()


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_traceback_and_no_run_behind(folder: Path, redirection: str) -> None:
    name = f"closed-{len(redirection)}"
    done = trained(folder, name, redirection)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert RunDir(folder / "logs" / name).summary.exists()
