"""An odd environment: said in a sentence before the run, or without effect."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from disks import read_only, small_disk

PROGRAM = Path(sys.executable).with_name("mindprint-tui")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "course", 1)


def given(
    folder: Path, sources: tuple[Path, Path], variables: dict[str, str | None], *command: str, **more: Any
) -> Any:
    """The program in `folder` with a small configuration, and variables set or (None) unset."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(tiny.settings(*sources, adapters={"strategy": "sft_only"})))
    environment = {key: value for key, value in (os.environ | variables).items() if value is not None}
    return subprocess.run(
        [PROGRAM, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, **more
    )


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP"])
def test_a_temporary_folder_that_is_gone_is_said_before_the_run(tmp_path, sources, name):
    for command in (["check", "mine.yaml"], ["--no-ui", "mine.yaml", "--run-id", "night"]):
        done = given(tmp_path, sources, {"TMPDIR": None, name: "/no/such/folder"}, *command)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 2 and f"{name}: /no/such/folder: no folder that can be written" in said
        assert "Traceback" not in done.stderr and not list(tmp_path.glob("logs/*"))


def test_a_home_that_cannot_be_written_is_said_and_a_csv_is_not_blamed(tmp_path, sources):
    course = tiny.make_curriculum(tmp_path / "course", 1)
    (tmp_path / "rows.csv").write_text(f"topic,prompt,completion\n{tiny.TOPICS[0]},Who minds it?,Aye do I.\n")
    settings = tiny.settings(sources[0], course)
    settings["curriculum"]["sft"] = str(tmp_path / "rows.csv")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings))
    home = {"HOME": "/dev/null/home", "HF_HOME": None, "XDG_CACHE_HOME": None, "HF_DATASETS_CACHE": None}
    done = given(tmp_path, sources, home, "check", "own.yaml")
    assert done.returncode == 2 and "name another folder in MINDPRINT_CACHE" in " ".join(done.stdout.split()), done
    assert "Traceback" not in done.stderr


def test_too_few_open_files_are_said_before_the_run(tmp_path, sources):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = given(tmp_path, sources, {}, "--no-ui", "mine.yaml", "--run-id", "night", preexec_fn=few)
    assert done.returncode == 2 and "ulimit -n: found 64, expected 4096 at least" in done.stderr, done
    assert not list(tmp_path.glob("logs/*"))


def test_too_little_memory_is_a_sentence(tmp_path, sources):
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    done = given(tmp_path, sources, {}, "check", "mine.yaml", preexec_fn=little)
    assert done.returncode == 2, done
    assert "ulimit -v: found 400 MB, expected 2,048 MB at least" in done.stderr + done.stdout, done


def test_a_disk_without_room_for_one_more_file_is_a_sentence(tmp_path, sources):
    with small_disk(tmp_path / "disk", inodes=8) as mounted:
        if not mounted:
            pytest.skip("no file system may be mounted here")
        done = given(tmp_path, sources, {}, "--no-ui", "mine.yaml", "--run-id", "night", "--logs", "disk")
    assert done.returncode == 3 and "the disk is full; what was committed is whole" in done.stdout, done
    assert "Errno" not in done.stdout + done.stderr


def test_a_read_only_folder_of_the_configuration_and_no_home_have_no_effect(tmp_path, sources):
    kept = tmp_path / "kept"
    kept.mkdir()
    with small_disk(tmp_path / "probe") as mounts:
        pass
    (kept / "mine.yaml").write_text(yaml.safe_dump(tiny.settings(*sources, adapters={"strategy": "sft_only"})))
    with read_only(kept, mounts):
        done = given(tmp_path, sources, {"HOME": None}, "--no-ui", "kept/mine.yaml", "--run-id", "night")
    assert done.returncode in (0, 1) and (tmp_path / "logs" / "night" / "summary.json").exists(), done


def test_a_disk_without_room_for_the_configuration_is_a_sentence_and_no_folder(tmp_path, sources):
    with small_disk(tmp_path / "disk", inodes=2) as mounted:
        if not mounted:
            pytest.skip("no file system may be mounted here")
        done = given(tmp_path, sources, {}, "--no-ui", "mine.yaml", "--run-id", "night", "--logs", "disk")
        left = list((tmp_path / "disk").iterdir())
    assert done.returncode == 2 and "config.yaml: the run cannot be written (the disk is full)" in done.stderr, done
    assert left == []
