"""What becomes of a run folder whose engine refused it, and what the shell is told of a run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from golden import put, said

from engine.contract.journal import events as e
from engine.contract.journal import store
from engine.contract.journal.codec import decode
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from mindprint_tui.process import programs, run_folder, run_status

TOPIC = "unit-01/chapter-01/topic-01"
BEGUN = [
    e.TopicStarted(TOPIC, 1, 2),
    e.Evaluated(TOPIC, "before", 0.5, 0.5, 0.5, {}, None, "ok", 1.0),
    e.Step(TOPIC, "sft", 1, 2, 1.0, 1e-3, 1.0, 10, 5, 0.1, 1),
    e.Restored(3, "goes on"),
    e.EngineDied(None, "SIGKILL", 1),
    e.Failed("disk", "full", ""),
    e.RunFinished(0, 1, 130, "", 1.0),
    None,  # a damaged line
]


def wrote(folder: Path, *events: e.Event | None) -> RunDir:
    """A run that had started; None is a damaged line after that."""
    run = put(folder, said(e.RunStarted("r", "c", 0, 1, {}), *(event for event in events if event is not None)))
    if None in events:
        first, *rest = run.journal.read_bytes().splitlines(keepends=True)
        run.journal.write_bytes(b"".join([first, b'{"v": 1, "seq"\n', *rest]))
    return run


def refused(folder: Path, *events: e.Event | None) -> RunDir:
    return wrote(folder, *events, e.Failed("input", "no such model", ""))


def test_a_new_run_that_was_refused_is_removed(tmp_path: Path) -> None:
    run = refused(tmp_path / "new", e.Preparing("loading"), e.Warned("curriculum", "short", 1))
    run_folder.discard_refused(run)
    assert not run.path.exists()


def test_a_run_that_had_begun_stays_when_it_is_refused_at_its_resumption(tmp_path: Path) -> None:
    run = refused(tmp_path / "old", e.TopicStarted("unit-01/chapter-01/topic-01", 1, 2))
    (run.path / "adapters").mkdir()
    run_folder.discard_refused(run)
    assert run.adapters.is_dir()


@pytest.mark.parametrize("event", BEGUN, ids=lambda event: event.kind if event else "damaged")
def test_a_folder_in_which_anything_had_begun_stays_whoever_asks(tmp_path: Path, event: e.Event | None) -> None:
    run = refused(tmp_path / "old", event)
    run_folder.discard_refused(run)
    run_folder.discard(run)
    assert run.journal.exists()


def test_a_folder_that_holds_weights_or_an_engine_stays(tmp_path: Path) -> None:
    committed, saved, held = (refused(tmp_path / name) for name in ("committed", "saved", "held"))
    (committed.adapters / "001-unit-01.chapter-01.topic-01-sft").mkdir(parents=True)
    saved.checkpoint.mkdir()
    lock = Lock(held)
    for run in (committed, saved, held):
        run_folder.discard(run)
        assert run.path.exists()
    lock.release()


def test_a_folder_without_a_refusal_is_not_taken_for_refused(tmp_path: Path) -> None:
    run = wrote(tmp_path / "new", e.Preparing("loading"))
    run_folder.discard_refused(run)
    assert run.path.exists()


DEAD = (e.TopicStarted(TOPIC, 1, 1), e.EngineDied(None, "SIGSEGV", 3), e.Failed("engine", "died 3 times", ""))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (DEAD, 3),
        ((e.TopicStarted(TOPIC, 1, 1),), 3),
        ((e.TopicStarted(TOPIC, 1, 1), e.RunFinished(0, 1, 1, "", 1.0)), 1),
        ((e.RunFinished(0, 1, 130, "", 1.0), e.EngineRestarted(None, None, 1), *DEAD), 3),
        ((e.Failed("input", "no such model", ""),), 2),
        ((*DEAD, e.Failed("input", "no such model", "")), 3),
    ],
)
def test_the_status_of_a_run_that_nobody_is_at_work_on(
    tmp_path: Path, events: tuple[e.Event, ...], status: int
) -> None:
    assert run_status.exit_status(wrote(tmp_path / "run", *events), None) == status


def test_a_run_has_a_session_of_its_own(tmp_path: Path) -> None:
    """So that a terminal that goes takes neither the run with it nor its place among what the person works with."""
    with programs.spawn(RunDir(tmp_path)) as supervisor:
        assert os.getsid(supervisor.pid) == supervisor.pid != os.getsid(0)
        supervisor.kill()


def test_a_run_that_somebody_is_at_work_on_has_no_status_yet(tmp_path: Path) -> None:
    run = wrote(tmp_path / "run", *DEAD)
    lock = Lock(run)
    assert run_status.exit_status(run, None) is None
    lock.release()


TAKES_ITS_TIME = """
import sys, time
from pathlib import Path
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
time.sleep(0.3)
lock = Lock(RunDir(Path(sys.argv[1])))
time.sleep(60)
"""


def test_an_engine_that_has_not_taken_its_lock_yet_is_alive(tmp_path: Path) -> None:
    run = wrote(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", TAKES_ITS_TIME, str(run.path)]) as supervisor:
        assert run_status.exit_status(run, supervisor) is None
        supervisor.kill()
    assert run_status.exit_status(run, supervisor) == 3


def test_a_supervisor_without_a_lock_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted the folder, and the engine has not noticed yet."""
    monkeypatch.setattr(run_status, "PATIENCE", 0.2, raising=False)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"]) as supervisor:
        assert run_status.exit_status(RunDir(tmp_path / "gone"), supervisor) is None
        assert supervisor.poll() is None
        supervisor.kill()


@pytest.mark.parametrize(("code", "status"), [(2, 2), (3, 3), (130, 130), (0, 1), (1, 1)])
def test_a_supervisor_is_asked_before_the_journal(tmp_path: Path, code: int, status: int) -> None:
    """A resumed run that had finished and is refused now: the journal ends with an old status."""
    run = refused(tmp_path / "run", e.TopicStarted(TOPIC, 1, 1), e.RunFinished(0, 1, 1, "", 1.0))
    with subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"]) as supervisor:
        supervisor.wait()
    assert run_status.exit_status(run, supervisor) == status


def test_a_supervisor_that_crashes_does_not_say_that_a_topic_did_not_pass(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]) as supervisor:
        supervisor.wait()
    assert run_status.exit_status(wrote(tmp_path / "run", e.TopicStarted(TOPIC, 1, 1)), supervisor) == 3


@pytest.mark.parametrize("ask", [run_folder.discard_refused, lambda run: run_status.exit_status(run, None)])
def test_of_a_long_journal_only_its_beginning_and_its_end_are_read(
    story: Callable[[str], RunDir], monkeypatch: pytest.MonkeyPatch, ask: Callable[[RunDir], object]
) -> None:
    """Whoever leaves a console waits for it, beside the training."""
    run, lines = story("long-20000"), []
    monkeypatch.setattr(store, "decode", lambda line, *before: lines.append(line) or decode(line, *before))
    ask(run)
    assert sum(map(len, lines)) < 2 * run_status.LAST < run.journal.stat().st_size / 10
