"""A disk that is full, read-only or gone: a sentence, the right status, what was committed is whole, and it goes on."""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
import tiny
import yaml
from breaking import FIRST, screen, settings
from disks import read_only, small_disk

from engine.contract.errors import Unwritable
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.files import write_file, write_folder
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.process import programs, run_folder

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
DENIED = ("read-only", "permission denied", "may not be written")
LIMITED = """
import resource, sys
from engine.__main__ import main
from engine.runtime.recorder import Recorder
say = Recorder.say
def and_no_further(self, event, **more):
    record = say(self, event, **more)
    if event.kind == {kind!r} and getattr(event, "state", "fused") == "fused":
        size, hard = self._journal.path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    return record
Recorder.say = and_no_further
sys.exit(main())
"""


def until(condition: Callable[[], bool], engine: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        assert engine is None or engine.poll() is None, "the engine ended too early"
        time.sleep(0.01)


def reached(run: RunDir, kind: type, **fields: str) -> Callable[[], bool]:
    return lambda: run.journal.exists() and bool(tiny.Ran(run).of(kind, **fields))


def resumed_as_if_nothing_had_been(run: RunDir, whole: tiny.Ran) -> None:
    assert tiny.start_engine(run).wait() == 0
    assert tiny.Ran(run).adapters() == whole.adapters()
    assert [record.seq for record in tiny.Ran(run).records] == list(range(len(tiny.Ran(run).records)))


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "limit"])
@pytest.mark.parametrize("moment", [e.Step, e.AdapterChanged], ids=["in the first phase", "after a commit"])
def test_a_run_on_a_full_disk_ends_in_words_and_goes_on_when_there_is_room(
    moment, disk, kit, unbroken, mounts, tmp_path
):
    """On a file system of its own where one may be mounted; and with a limit on the size of files, which is alike."""
    if disk and not mounts:
        pytest.skip("nothing may be mounted here")
    with small_disk(tmp_path / "logs") if disk else contextlib.nullcontext():
        (tmp_path / "logs").mkdir(exist_ok=True)
        run = tiny.new_run(tmp_path / "logs" / "run", settings(kit, "sft"))
        ballast = tmp_path / "logs" / "ballast"
        if disk:
            engine = tiny.start_engine(run)
            until(reached(run, moment, **({"state": "fused"} if moment is e.AdapterChanged else {})), engine)
            fill(ballast)
        else:
            engine = tiny.start_engine(run, code=LIMITED.format(kind=moment.kind))
        assert engine.wait() == 3
        words = run.output.read_text()
        assert ("the disk is full" if disk else "the limit on the size of a file is reached") in words
        assert "what was committed is whole" in words and "--resume run goes on" in words
        assert "Traceback" not in words
        ran = tiny.Ran(run)
        assert ran.of(e.TopicFinished, verdict="error") == [] and ran.of(e.RunFinished) == []
        if disk:
            assert [event.where for event in ran.of(e.Failed)] == ["disk"]
            assert "the disk is full" in screen(run)[1]["banner"]
        committed = ran.committed()
        assert committed == [name for name in ran.adapters() if name in committed]
        assert all(ran.adapters()[name] == unbroken["sft"].adapters()[name] for name in committed)
        ballast.unlink(missing_ok=True)
        resumed_as_if_nothing_had_been(run, unbroken["sft"])


def fill(file: Path) -> None:
    """Takes all the room that is left."""
    with open(file, "wb", buffering=0) as opened:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    opened.write(bytes(size))


def test_a_folder_that_is_deleted_while_it_runs_ends_the_run_and_is_not_made_again(kit, tmp_path):
    run = tiny.new_run(tmp_path / "run", settings(kit, "sft"))
    words = tmp_path / "words"
    with open(words, "wb") as output:
        engine = subprocess.Popen(
            [sys.executable, "-m", "engine", str(run.path)], cwd=tiny.ROOT, stdout=output, stderr=output
        )
    until(reached(run, e.Step), engine)
    while run.path.exists():  # the engine may put a file into it meanwhile
        shutil.rmtree(run.path, ignore_errors=True)
    assert engine.wait() == 3
    assert not run.path.exists()
    assert words.read_text().endswith("the run folder is gone; the run cannot be gone on with\n")
    assert "Traceback" not in words.read_text()


def test_a_folder_that_is_deleted_while_weights_are_written_into_it_is_said_to_be_gone(tmp_path):
    place = tmp_path / "run"
    place.mkdir()

    def fill(folder: Path) -> None:
        shutil.rmtree(place)
        mx.save_safetensors(str(folder / "arrays.safetensors"), {"weight": mx.zeros((2, 2))})

    with pytest.raises(Unwritable, match="checkpoint: the run folder is gone") as failed:
        write_folder(place / "checkpoint", fill)
    assert failed.value.gone
    assert not place.exists()


@pytest.mark.parametrize(
    "arguments", [("--no-ui", "CONFIG"), ("--no-ui", "--resume", "run")], ids=["a new run", "one to resume"]
)
def test_logs_that_cannot_be_written_are_a_sentence_and_status_2(arguments, kit, mounts, tmp_path):
    run = tiny.new_run(tmp_path / "logs" / "run", settings(kit, "sft"))
    run.journal.touch()
    arguments = [str(run.config) if word == "CONFIG" else word for word in arguments]
    before = sorted(run.path.iterdir())
    # permissions do not hold root: where it may not mount, its child gives that privilege up
    held = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 and not mounts else []
    with read_only(run.path if "--resume" in arguments else run.path.parent, mounts):
        done = subprocess.run(
            [*held, PROGRAM, *arguments, "--logs", run.path.parent], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(run.path.parent) in line and any(words in line.lower() for words in DENIED)
    assert sorted(run.path.iterdir()) == before


def test_every_file_of_a_run_is_its_owners_alone(kit, tmp_path):
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings(kit, "sft")))
    mask = os.umask(0o022)
    try:
        run = run_folder.prepare(config, (), (), tmp_path / "logs", "run")
        engine = programs.spawn(run)
        seen: dict[str, int] = {}

        def look() -> bool:
            for file in [run.path, *run.path.rglob("*")]:
                with contextlib.suppress(FileNotFoundError):
                    seen[str(file.relative_to(run.path.parent))] = file.stat().st_mode
            return engine.poll() is not None

        until(look)
    finally:
        os.umask(mask)
    assert any("checkpoint/" in name for name in seen) and any("adapters.safetensors" in name for name in seen)
    for name in ("config.yaml", "journal.jsonl", "training.log", "engine.out", "engine.lock", "summary.json"):
        assert f"run/{name}" in seen
    wanted = {name: 0o700 if stat.S_ISDIR(mode) else 0o600 for name, mode in seen.items()}
    assert {name: stat.S_IMODE(mode) for name, mode in seen.items()} == wanted
    assert tiny.Ran(run).verdicts()[FIRST] == "passed"


@pytest.mark.parametrize("known", [True, False])
def test_what_is_durable_has_reached_the_disk_itself(tmp_path, monkeypatch, known):
    """macOS's fsync ends at the drive; a file system that knows nothing better is asked for that."""
    full, plain = [], []

    def control(descriptor: int, command: int) -> None:
        full.append(command)
        if not known:
            raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", plain.append)
    write_file(tmp_path / "file", b"whole")  # and its folder
    write_folder(
        tmp_path / "folder", lambda into: (into / "file").write_text("whole")
    )  # the file, itself, where it lies
    journal = JournalWriter(tmp_path / "journal.jsonl")
    journal.append(e.Preparing("loading"))
    journal.append(e.TopicStarted(FIRST, 1, 2), durable=True)
    journal.close()
    assert full == [51] * 7 and len(plain) == (0 if known else 7)
