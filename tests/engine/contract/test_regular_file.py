"""A pipe, a socket, a device or a folder in the place of a file: a sentence at once, and nobody waits."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType

import pytest
import tiny
from click.testing import CliRunner

from engine.adapters.deltas import load_delta
from engine.adapters.ledger_file import read_ledger
from engine.contract.errors import InputError
from engine.contract.journal.store import JournalWriter, read_journal
from engine.contract.regular_file import TEXT, only_regular, read_bytes
from engine.contract.run_folder.commands import append, new_command
from engine.contract.run_folder.files import open_own
from engine.contract.run_folder.folder import RunDir, find, list_runs
from engine.contract.run_folder.lock import Lock, holder
from engine.contract.settings.config import SourceConfig
from engine.contract.settings.course import read_course
from engine.contract.settings.load import load_config
from engine.data.curriculum import load_curriculum
from engine.data.sources.read import read_source
from engine.data.voice_profile import load_profile
from engine.model import loading
from engine.training import checkpoint
from mindprint_tui.cli import cli
from mindprint_tui.process import run_status

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
PATIENCE = 60  # seconds after which a reader counts as one that waits


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    bound = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        bound.bind(path.name)
    finally:
        os.chdir(here)


KINDS = {"a pipe": pipe, "a device": device, "a socket": unix_socket, "a folder": Path.mkdir}


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    def give_up(_number: int, _frame: object) -> None:
        raise AssertionError("it waited")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def put(kind: str, path: Path) -> Path:
    """Something of that kind in the place of a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](path)
    return path


READERS: dict[str, Callable[[Path], object]] = {
    "mine.yaml": load_config,
    "voice.yaml": load_profile,
    "curriculum.yaml": read_course,
    "rows.jsonl": lambda path: list(read_source(SourceConfig(str(path)))),
    "rows.csv": lambda path: list(read_source(SourceConfig(str(path)))),
    "rows.parquet": lambda path: list(read_source(SourceConfig(str(path)))),
    "set/train.parquet": lambda path: list(read_source(SourceConfig(str(path.parent)))),
    "night/journal.jsonl": lambda path: find(path.parents[1], "night"),
    "engine.lock": lambda path: Lock(RunDir(path.parent)),
    "ledger.json": lambda path: read_ledger(path.parent),
    "delta/adapter_config.json": lambda path: load_delta(path.parent, fused=True),
    "checkpoint/state.json": lambda path: checkpoint.load(path.parent),
    "journal.jsonl": read_journal,
    "written.jsonl": JournalWriter,
    "commands.jsonl": lambda path: append(path, new_command("pause")),
    "training.log": lambda path: open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_says_what_is_in_the_place_of_its_file(tmp_path: Path, kind: str, name: str) -> None:
    path = put(kind, tmp_path / name)
    if kind == "a folder" and name.startswith("set/"):
        pytest.skip("a folder in a folder of data is one")
    with pytest.raises((InputError, OSError)) as caught:
        READERS[name](path)
    words = f"found {kind}, expected a file"
    link = kind == "a device" and name in ("engine.lock", "written.jsonl", "commands.jsonl", "training.log")
    assert words in str(caught.value) or (link and "link" in str(caught.value)), caught.value


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json"])
def test_a_model_folder(tmp_path: Path, kind: str, name: str) -> None:
    model = tiny.make_model(tmp_path / "model")
    put(kind, model / name)
    with pytest.raises(InputError):
        loading.load(loading.locate(str(model), print), "float32")


@pytest.mark.parametrize("name", ["curriculum.yaml", "voice.yaml", "sft.jsonl", "preferences.jsonl", "quiz.jsonl"])
def test_a_curriculum(tmp_path: Path, kind: str, name: str) -> None:
    course = tiny.make_curriculum(tmp_path / "course")
    put(kind, course / name)
    settings = tiny.new_run(tmp_path / "run", tiny.settings(tmp_path, course))
    with pytest.raises(InputError, match=f"found {kind}, expected a file"):
        load_curriculum(load_config(settings.config).curriculum, needs_pairs=True)


def test_arrays(tmp_path: Path, kind: str) -> None:
    (tmp_path / "checkpoint").mkdir()
    state = dict.fromkeys(("attempt", "seed", "step", "rng", "refused", "seq"), 0)
    state |= dict.fromkeys(("topic", "phase", "model"), "")
    (tmp_path / "checkpoint" / checkpoint.STATE).write_text(json.dumps(state))
    put(kind, tmp_path / "checkpoint" / checkpoint.ARRAYS)
    with pytest.raises(OSError, match=f"found {kind}, expected a file"):
        checkpoint.load(tmp_path / "checkpoint")


RUN_FILES = ("journal.jsonl", "engine.lock", "commands.jsonl", "engine.out", "summary.json")


def put_runs(logs: Path, kind: str) -> dict[str, RunDir]:
    """Runs that are whole, but for one file each: the key names it."""
    found = {name: RunDir(logs / f"bad-{name.replace('.', '-')}") for name in RUN_FILES}
    for name, run in {**found, "": RunDir(logs / "good")}.items():
        run.path.mkdir(parents=True)
        JournalWriter(run.journal).close()
        if name:
            put(kind, run.path / name)
    return found


def test_one_bad_run_does_not_stop_the_others(tmp_path: Path, kind: str) -> None:
    bad = put_runs(tmp_path / "logs", kind)
    assert {run.name for run in list_runs(tmp_path / "logs")} == {"good", *(run.name for run in bad.values())}
    assert run_status.alive(tmp_path / "logs") is False
    assert all(holder(run) is None for run in bad.values())
    done = CliRunner().invoke(cli, ["runs", "--logs", str(tmp_path / "logs")])
    assert done.exit_code == 0 and "good" in done.stdout
    for name, run in bad.items():
        line = next(line for line in done.stdout.splitlines() if run.name in line)
        assert ("! bad file" in line) == (name == "journal.jsonl"), line
    for run in bad.values():
        for command in (["report", run.name], ["attach", run.name]):
            done = CliRunner().invoke(cli, [*command, "--logs", str(tmp_path / "logs")])
            assert isinstance(done.exception, NoneType | SystemExit | InputError | OSError), (command, done.exception)


@pytest.mark.parametrize("command", [["--no-ui", "--resume"], ["export", "--to", "x"]], ids=" ".join)
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_program_on_a_run_with_a_pipe_or_a_device_in_it(tmp_path: Path, name: str, command: list[str]) -> None:
    """Reading a pipe waits for ever, and a device never ends; the other kinds fail by themselves."""
    for kind in ("a pipe", "a device") if "--resume" in command else ("a pipe",):
        bad = put_runs(tmp_path / kind / "logs", kind)[name]
        call = [PROGRAM, *command, bad.name] if "--resume" in command else [PROGRAM, "export", bad.name, *command[1:]]
        done = subprocess.run(call, cwd=tmp_path / kind, capture_output=True, text=True, timeout=PATIENCE)
        assert "Traceback" not in done.stderr and done.returncode in (0, 2, 3), done.stderr


def test_a_file_has_a_bound(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    with open(file, "wb") as opened:
        opened.truncate(TEXT + 1)
    with pytest.raises(InputError, match="it has more than 16 MB"):
        load_config(file)
    assert read_bytes(file, TEXT + 1) == bytes(TEXT + 1)
    os.close(only_regular(file, os.O_RDONLY))
