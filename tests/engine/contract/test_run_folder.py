"""The run folder: names that may touch a path, who may read, who holds the lock, and which run is the newest."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.contract.journal.events import Paused
from engine.contract.journal.store import JournalWriter
from engine.contract.names import run_name, topic_id
from engine.contract.run_folder import lock
from engine.contract.run_folder.commands import append, new_command
from engine.contract.run_folder.folder import RunDir, create, find, fresh_name, list_runs, require_free
from engine.contract.run_folder.lock import Lock, holder
from engine.runtime.recorder import Recorder

BAD = [
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "/etc",
    "a\x00b",
    "a b",
    "a\n",
    "-a",
    "a.",
    ".a",
    "ä",
    "а",
    "a" * 101,
    "a\\b",
    "~",
]


@pytest.mark.parametrize("name", BAD)
def test_a_run_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="run name"):
        run_name(name)
    with pytest.raises(InputError, match="run name"):
        create(tmp_path, name)
    with pytest.raises(InputError, match="run name"):
        find(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "quick-20260110-092411", "A_b.c-2", "a..b", "0", "a" * 100])
def test_a_run_name_that_stays_inside_is_taken(name: str) -> None:
    assert run_name(name) == name


@pytest.mark.parametrize("text", ["a/b/c", "unit-01/chapter-01/topic-01", f"{'a' * 64}/b_c/0"])
def test_topic_ids(text: str) -> None:
    assert topic_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/b",
        "a/b/c/",
        "/a/b/c",
        "a/b/c/d",
        "a/../c",
        "A/b/c",
        "a/b/c\n",
        "a/b/c\x00",
        "a/b-/c",
        f"{'a' * 65}/b/c",
    ],
)
def test_what_is_no_topic_id_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="topic id"):
        topic_id(text)


def test_a_name_in_a_message_is_short_and_plain() -> None:
    with pytest.raises(InputError) as caught:
        run_name("\x1b[2J" + "ä" * 500)
    assert str(caught.value).isascii() and "\x1b" not in str(caught.value) and len(str(caught.value)) < 450


def test_a_new_run_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run = create(tmp_path / "deep" / "logs", "night")
        writer = JournalWriter(run.journal)
        lock = Lock(run)
    finally:
        os.umask(old)
    assert run.path.stat().st_mode & 0o777 == 0o700
    for file in (run.journal, run.lock):
        assert file.stat().st_mode & 0o777 == 0o600
    writer.close()
    lock.release()


def test_a_name_is_used_once(tmp_path: Path) -> None:
    create(tmp_path, "night")
    with pytest.raises(InputError, match="exists; choose another"):
        create(tmp_path, "night")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(InputError, match=r"logs: found a file, expected the folder of the runs"):
        create(tmp_path / "logs", "night")
    with pytest.raises(InputError, match="cannot be made"):
        create(tmp_path / "logs" / "more", "night")


def test_fresh_names_are_free_and_valid(tmp_path: Path) -> None:
    first = fresh_name("Mac Studio (ü)", tmp_path, 1768000000.0)
    create(tmp_path, first)
    second = fresh_name("Mac Studio (ü)", tmp_path, 1768000000.0)
    assert second == first + "-2"
    for stem in ("", "...", "ü", "a" * 300, "../../etc"):
        assert run_name(fresh_name(stem, tmp_path, 1768000000.0))


def test_a_second_engine_is_refused(tmp_path: Path) -> None:
    run = create(tmp_path, "night")
    assert holder(run) is None
    lock = Lock(run)
    assert holder(run) == os.getpid()
    with pytest.raises(InputError, match="already at work"):
        Lock(run)
    assert holder(run) == os.getpid(), "the one that was refused leaves the lock as it is"
    lock.release()
    assert holder(run) is None
    Lock(run).release()


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK])
def test_a_disk_that_cannot_lock_is_not_an_engine_at_work(tmp_path: Path, monkeypatch, number: int) -> None:
    run = create(tmp_path, "night")
    Lock(run).release()

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with pytest.raises(InputError, match=r"its disk cannot lock a file \(.+\); keep runs on one that can \(--logs\)"):
        Lock(run)
    assert holder(run) is None


def test_what_was_asked_of_nobody_is_the_same_for_every_engine_of_a_supervisor(tmp_path: Path) -> None:
    run = create(tmp_path, "night")
    append(run.commands, new_command("stop"))
    before = run.commands.stat().st_size
    lock = Lock(run)
    append(run.commands, new_command("stop"))
    assert lock.unheard == before and Lock(run, lock.descriptor).unheard == before
    lock.release()
    lock = Lock(run)
    assert lock.unheard == run.commands.stat().st_size == 2 * before
    lock.release()


def test_looking_does_not_take_the_lock_from_an_engine(tmp_path: Path) -> None:
    run = create(tmp_path, "night")
    Lock(run).release()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            holder(run)
            time.sleep(0.001)

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(30):
            Lock(run).release()
    finally:
        done.set()
        for watcher in watchers:
            watcher.join()


ENGINE = """
import sys, time
from pathlib import Path
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
lock = Lock(RunDir(Path(sys.argv[1])))
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_goes_with_the_process_however_it_dies(tmp_path: Path) -> None:
    run = create(tmp_path, "night")
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(run.path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as engine:
        assert engine.stdout is not None and engine.stdout.readline() == b"held\n"
        assert holder(run) == engine.pid
        with pytest.raises(InputError, match="already at work"):
            Lock(run)
        engine.send_signal(signal.SIGKILL)
        assert engine.wait() == -signal.SIGKILL
        assert str(engine.pid) in run.lock.read_text(), "the file still names the dead engine"
        assert holder(run) is None
    lock = Lock(run)
    assert holder(run) == os.getpid()
    lock.release()


def begun(logs: Path, name: str, t: float) -> RunDir:
    run = create(logs, name)
    JournalWriter(run.journal, clock=lambda: t).append(Paused("ann"))
    return run


def test_runs_are_listed_newest_first_by_their_first_event(tmp_path: Path) -> None:
    for name, t in (("b", 200.0), ("c", 300.0), ("a", 100.0)):
        begun(tmp_path, name, t)
    (tmp_path / "no-run").mkdir()
    (tmp_path / "a-file").write_text("")
    os.utime(tmp_path / "a" / "journal.jsonl")
    assert [run.name for run in list_runs(tmp_path)] == ["c", "b", "a"]
    assert find(tmp_path, None).name == "c"
    assert find(tmp_path, "a") == RunDir(tmp_path / "a")
    with pytest.raises(InputError, match="no such run; runs here, newest first: c, b, a"):
        find(tmp_path, "no-run")


def test_a_run_with_a_damaged_or_empty_journal_is_listed(tmp_path: Path) -> None:
    begun(tmp_path, "whole", 100.0)
    for name, text in (("empty", b""), ("torn", b'{"v": 1, "t'), ("list", b"[1]\n"), ("null", b'{"t": null}\n')):
        create(tmp_path, name).journal.write_bytes(text)
    assert {run.name for run in list_runs(tmp_path)} == {"whole", "empty", "torn", "list", "null"}
    assert list_runs(tmp_path)[-1].name == "whole"


def test_no_runs_is_a_sentence(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []
    with pytest.raises(InputError, match="no runs yet"):
        find(tmp_path / "nowhere", None)


def test_a_list_of_runs_survives_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "folder" / "journal.jsonl").mkdir(parents=True)
    for name, line in (("nan", '{"t": NaN}'), ("huge", '{"t": 1' + "0" * 400 + "}"), ("deep", "[" * 100_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.jsonl").write_text(line + "\n")
    assert {run.name for run in list_runs(tmp_path)} == {"nan", "huge", "deep", "folder"}


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "adapters", "adapters/mine", "checkpoint", ".reserve", "engine.lock"]
)
def test_nothing_is_written_to_a_place_of_the_run(tmp_path: Path, name: str) -> None:
    run = RunDir(tmp_path / "night")
    run.path.mkdir()
    require_free(run.path / name)  # no run yet
    run.journal.touch()
    with pytest.raises(InputError, match="a place for the run's own files"):
        require_free(run.path / name)
    require_free(run.path / "model")
    require_free(tmp_path / name)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_second_engine_does_not_start_without_the_lock_of_the_first(tmp_path: Path, how: str) -> None:
    run = create(tmp_path, "night")
    first, recorder = Lock(run), Recorder(run)
    run.lock.unlink()
    if how == "replaced":
        run.lock.touch()
    assert holder(run) == -1, "an engine is still at work"
    for take in (Lock, Recorder):
        with pytest.raises(InputError, match="an engine is already at work on this run"):
            take(run)
    with pytest.raises(InputError, match="deleted or replaced"):
        Lock(run, os.dup(first.descriptor))
    recorder.close()
    first.release()
    assert holder(run) is None
    Lock(run).release()
    Recorder(run).close()
