"""What the shell is told when a console closes on a run whose engine is not there any more, or still is."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import put, said
from terminal import Terminal

from engine.contract.exit_codes import CONSOLE_FAILED
from engine.contract.journal import events as e
from engine.contract.run_folder.commands import append, new_command
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from mindprint_tui import cli
from mindprint_tui.cli import training
from mindprint_tui.process import run_status
from mindprint_tui.process.exit_messages import engine_continues, exit_message

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))
ROOT = Path(__file__).parents[3]
TOPIC = "unit-01/chapter-01/topic-01"
DIED = [
    e.RunStarted("dead", "c", 0, 1, {}),
    e.TopicStarted(TOPIC, 1, 1),
    e.EngineDied(None, "SIGSEGV", 3),
    e.Failed("engine", "the engine died 3 times at the same place", ""),
]
STARTED = """
import subprocess, sys
from mindprint_tui import cli
from mindprint_tui.cli import training
from mindprint_tui.process import programs
SUPERVISOR = {supervisor!r}
programs.spawn = lambda run: subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(run.path)])
cli.main()
"""
SAYS = """
import sys, time
from pathlib import Path
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
run = RunDir(Path(sys.argv[1]))
lock, writer = Lock(run), JournalWriter(run.journal)
for event in ({events}):
    writer.append(event)
while not Path({until!r}).exists():
    time.sleep(0.05)
sys.exit({status})
"""
LATE = """
import time
from pathlib import Path
while not Path({until!r}).exists():
    time.sleep(0.05)
{supervisor}
"""
FAILS = """
import errno
from mindprint_tui import cli
from mindprint_tui.cli import training
from mindprint_tui.journal import feed
def holder(run):
    raise OSError(errno.ESTALE, "Stale file handle")
feed.holder = holder
cli.main()
"""
BEGAN = 'e.RunStarted("r", "c", 0, 1, {}), e.TopicStarted("a/b/c", 1, 1), '
REFUSAL = 'e.Failed("input", "row 7 is torn", ""),'


@pytest.fixture
def leave(tmp_path: Path) -> Iterator[Path]:
    """An engine that waits for this file goes on until it is there."""
    file = tmp_path / "leave"
    yield file
    file.touch()


def test_a_run_whose_engine_died_three_times(tmp_path: Path) -> None:
    put(tmp_path / "logs" / "dead", said(*DIED))
    with Terminal([PROGRAM, "attach", "dead"], cwd=str(tmp_path)) as console:
        console.wait("died 3 times")
        console.type("q")
        assert console.ended() == 3


def test_leaving_a_run_whose_engine_is_there(tmp_path: Path) -> None:
    lock = Lock(put(tmp_path / "logs" / "dead", said(*DIED)))
    with Terminal([PROGRAM, "attach", "dead"], cwd=str(tmp_path)) as console:
        console.wait("died 3 times")
        console.type("q")
        assert console.ended() == 0
    lock.release()


def test_leaving_a_run_that_was_asked_to_stop(tmp_path: Path) -> None:
    """It takes a while to stop, and says so; a stop that was asked of an engine before this one is over."""
    run = put(tmp_path / "logs" / "dead", said(*DIED))
    append(run.commands, new_command("stop"))
    lock = Lock(run)
    words = b"The engine goes on. See it again with: mindprint-tui attach dead"
    for keys, told in (("q", words), ("Qyq", b"The engine is stopping, with a checkpoint. Go on later with: ")):
        with Terminal([PROGRAM, "attach", "dead"], cwd=str(tmp_path)) as console:
            console.wait("died 3 times")
            for key in keys:
                console.type(key)
                console.settle(0.5)
            assert console.ended() == 0
            assert told in console.raw and (words in console.raw) == (told == words)
    lock.release()


def test_an_engine_that_ended_while_the_console_closed_does_not_go_on(tmp_path: Path) -> None:
    run = put(tmp_path / "dead", said(*DIED))
    told = exit_message(run, 130, "The engine goes on.")
    assert told == f"The engine has stopped. See the run again with: mindprint-tui attach {run.path}"


def test_a_run_is_named_as_a_command_finds_it() -> None:
    """By its name in logs/, elsewhere by its folder."""
    here, elsewhere = RunDir(Path("logs/night")), RunDir(Path("/data/runs/night"))
    assert "attach night\n" in engine_continues(here) and engine_continues(here).endswith("ctl night stop")
    assert "attach /data/runs/night\n" in engine_continues(elsewhere) and engine_continues(elsewhere).endswith(
        "/night stop"
    )


@pytest.mark.parametrize(
    ("events", "status", "stays", "wanted", "kept"),
    [
        (BEGAN, 3, False, 3, True),
        (BEGAN, 0, True, 0, True),  # it goes on
        (f"{BEGAN} e.EngineDied(None, 'SIGKILL', 1), {REFUSAL}", 3, False, 3, True),  # a restart that was refused
        (REFUSAL, 2, False, 2, False),
    ],
    ids=["died", "alive", "restart refused", "refused"],
)
def test_a_run_that_this_console_started(
    tmp_path: Path, leave: Path, events: str, status: int, stays: bool, wanted: int, kept: bool
) -> None:
    (tmp_path / "mine.yaml").write_text("curriculum: {path: here}\n")
    supervisor = SAYS.format(events=events, until=str(leave) if stays else ".", status=status)
    command = [sys.executable, "-c", STARTED.format(supervisor=supervisor), "mine.yaml", "--run-id", "night"]
    with Terminal(command, cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as console:
        console.wait("torn" if REFUSAL in events else "1 Topics" if stays else "The engine is gone")
        console.settle(1.5)
        console.type("q")
        assert console.ended() == wanted
        assert (REFUSAL in events) == (b"mindprint-tui: row 7 is torn" in bytes(console.raw)[-400:])
    assert Path(tmp_path, "logs", "night").exists() == kept


def test_a_run_that_this_console_resumed_stays_where_it_is_refused(tmp_path: Path) -> None:
    """Killed while it loaded: nothing had begun, but its configuration is a person's who is about to mend it."""
    run = put(tmp_path / "logs" / "night", said(DIED[0]))
    supervisor = SAYS.format(events=REFUSAL, until=".", status=2)
    command = [sys.executable, "-c", STARTED.format(supervisor=supervisor), "--resume", "night"]
    with Terminal(command, cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as console:
        console.wait("torn")
        console.settle(1.5)
        console.type("q")
        assert console.ended() == 2
    assert run.journal.exists()


@pytest.mark.parametrize(
    "ended", [DIED[2:], [e.RunFinished(0, 1, 130, "f", 9.0)], []], ids=["died", "stopped", "killed"]
)
def test_a_console_that_resumes_a_run_does_not_say_that_its_engine_is_gone(
    tmp_path: Path, leave: Path, ended: list[e.Event]
) -> None:
    """Nobody has the lock yet, and the journal is that of the engine before."""
    put(tmp_path / "logs" / "night", said(*DIED[:2], *ended))
    hold = tmp_path / "hold"
    supervisor = LATE.format(until=str(hold), supervisor=SAYS.format(events="", until=str(leave), status=0))
    command = [sys.executable, "-c", STARTED.format(supervisor=supervisor), "--resume", "night"]
    with Terminal(command, cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as console:
        console.wait("starting…")
        console.type("p")
        console.wait("pause: no engine is there yet")
        hold.touch()
        console.wait("engine ✓")
        console.settle(1.5)
        assert "starting…" in console.text
        for untrue in ("is gone", "stopped by", "--resume", "being started again", "engine ✗"):
            assert untrue.encode() not in console.raw, untrue
        console.type("q")
        assert console.ended() == 0


def test_a_console_that_fails_has_a_status_of_its_own_and_the_engine_goes_on(tmp_path: Path) -> None:
    lock = Lock(put(tmp_path / "logs" / "dead", said(*DIED)))
    with Terminal([sys.executable, "-c", FAILS, "attach", "dead"], cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as console:
        assert console.ended() == CONSOLE_FAILED == 70
        assert b"Stale file handle" in console.raw
        words = b"an engine that was at work goes on. See it again with: mindprint-tui attach dead"
        assert words in bytes(console.raw)
    lock.release()


FINISHED = 'e.EngineRestarted(None, None, 1), e.RunFinished(1, 1, 1, "f", 9.0),'


@pytest.mark.parametrize("ended", [e.RunFinished(0, 1, 130, "f", 9.0), e.Failed("input", "row 7 is torn", "")])
@pytest.mark.parametrize(
    ("events", "status", "wanted"),
    [("", 0, 0), ("e.EngineRestarted(None, None, 1),", 0, 0), (FINISHED, 1, 1)],
    ids=["loads", "has begun", "is about to end"],
)
def test_a_resumed_run_s_status_is_not_that_of_its_earlier_engine(
    tmp_path: Path, leave: Path, ended: e.Event, events: str, status: int, wanted: int
) -> None:
    put(tmp_path / "logs" / "night", said(*DIED[:2], ended))
    supervisor = SAYS.format(events=events, until=str(leave), status=status)
    command = [sys.executable, "-c", STARTED.format(supervisor=supervisor), "--resume", "night"]
    with Terminal(command, cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as console:
        console.wait("1/1 passed" if events == FINISHED else "1 Topics")
        console.type("q")
        if events == FINISHED:
            leave.touch()
        assert console.ended() == wanted
        assert (b"The engine goes on. See it again with" in console.raw) == (wanted == 0)
        assert b"torn" not in bytes(console.raw).rpartition(b"\x1b[?1049l")[2]


def test_leaving_while_the_engine_that_refused_a_run_ends(tmp_path: Path, leave: Path) -> None:
    """It is waited for, so that its folder is removed, and nobody is told to look at it again."""
    (tmp_path / "mine.yaml").write_text("curriculum: {path: here}\n")
    supervisor = SAYS.format(events=REFUSAL, until=str(leave), status=2)
    command = [sys.executable, "-c", STARTED.format(supervisor=supervisor), "mine.yaml", "--run-id", "night"]
    with Terminal(command, cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as console:
        console.wait("torn")
        console.type("q")
        leave.touch()
        assert console.ended() == 2
        assert b"The engine" not in console.raw and b"mindprint-tui: row 7 is torn" in bytes(console.raw)[-400:]
    assert not Path(tmp_path, "logs", "night").exists()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What consoles are opened with, on a terminal, with an engine alive somewhere."""
    seen: list[object] = []
    monkeypatch.setattr(run_status, "alive", lambda logs: True)
    monkeypatch.setattr(training, "console", lambda run, logs, begin=None, **more: seen.append(begin) or 0)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    return seen


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [([], False), (["--topic", TOPIC], True), (["--set", "dpo.rank=4"], True), (["--run-id", "x"], True)],
)
def test_the_list_of_runs_comes_first_only_where_nothing_was_asked_for(opened, arguments, begins) -> None:
    assert cli.cli(arguments, standalone_mode=False) == 0
    ((begin),) = opened
    assert (begin is not None) == begins
