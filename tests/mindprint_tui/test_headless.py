"""`--no-ui` beside a supervisor that ends in a way of its own: the status, and what is left of the folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from terminal import Terminal

from engine.contract.journal.log_lines import line
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.folder import RunDir

ROOT = Path(__file__).parents[2]
PROGRAM = """
import signal, subprocess, sys
from mindprint_tui import cli
from mindprint_tui.process import programs

def spawn(run):
    {before}
    run.output.touch()
    return subprocess.Popen([sys.executable, "-c", {supervisor!r}, str(run.path)], start_new_session=True)

programs.spawn = spawn
cli.main()
"""
REFUSES_TOO_LATE = """
import sys
from pathlib import Path
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
writer = JournalWriter(Path(sys.argv[1], "journal.jsonl"))
for event in (e.RunStarted("r", "c", 0, 1, {}), e.TopicStarted("a/b/c", 1, 1), e.Failed("input", "row 7 is torn", "")):
    writer.append(event)
sys.exit(2)
"""


def started(
    folder: Path, supervisor: str, before: str = "", flags: Sequence[str] = ("--no-ui",)
) -> tuple[RunDir, subprocess.Popen[str]]:
    (folder / "mine.yaml").write_text("curriculum: {path: here}\n")
    code = PROGRAM.format(supervisor=supervisor, before=before)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *flags, "mine.yaml", "--run-id", "night"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return RunDir(folder / "logs" / "night"), process


TRAINS = """
import sys
from pathlib import Path
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
writer = JournalWriter(Path(sys.argv[1], "journal.jsonl"))
for event in (e.RunStarted("r", "c", 0, 1, {}), e.TopicStarted("a/b/c", 1, 1), e.RunFinished(0, 1, 1, "f", 9.0)):
    writer.append(event)
sys.exit(1)
"""
NEXT = (
    "Next:",
    "  mindprint-tui attach night           the answers side by side",
    "  mindprint-tui chat night             talk to the model",
    "  mindprint-tui report night           one HTML page",
    "  mindprint-tui export night --to DIR  the model for other programs",
)


@pytest.mark.parametrize(
    ("flags", "words"), [(("--no-ui",), ""), ((), "there is no terminal here: running as with --no-ui\n")]
)
def test_without_a_terminal_a_run_prints_the_same_plain_lines(tmp_path: Path, flags: Sequence[str], words: str) -> None:
    run, process = started(tmp_path, TRAINS, flags=flags)
    said, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (1, words)
    in_model = "in the model: 0 of 1 topics; not in it: a/b/c (running)"
    assert said.splitlines() == ["run logs/night", *map(line, read_journal(run.journal)), in_model, *NEXT]


def test_a_folder_in_which_a_topic_had_begun_stays_whatever_the_supervisor_says(tmp_path: Path) -> None:
    run, process = started(tmp_path, REFUSES_TOO_LATE)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 2 and words == "mindprint-tui: row 7 is torn\n"
    assert run.journal.exists() and run.config.exists()


def test_ctrl_c_before_the_supervisor_can_hear_it_is_a_stop_by_a_person(tmp_path: Path) -> None:
    _, process = started(tmp_path, "import time; time.sleep(60)")
    assert process.stdout is not None and process.stdout.readline().startswith("run ")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "stopped at once, without a last checkpoint\n")


def test_ctrl_c_before_there_is_a_supervisor_leaves_none_behind(tmp_path: Path) -> None:
    _, process = started(tmp_path, "import time; time.sleep(60)", "signal.raise_signal(signal.SIGINT)")
    said, words = process.communicate(timeout=30)
    assert process.returncode == 130 and "stopped at once" in said and "Traceback" not in words


@pytest.mark.parametrize(
    ("supervisor", "status"), [("raise SystemExit(130)", 130), ("raise SystemExit(1)", 3), ("import os; os.abort()", 3)]
)
def test_a_supervisor_that_ends_without_a_word(tmp_path: Path, supervisor: str, status: int) -> None:
    _, process = started(tmp_path, supervisor)
    process.communicate(timeout=60)
    assert process.returncode == status


STEPS = """
import sys, time
from pathlib import Path
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
run = RunDir(Path(sys.argv[1]))
lock, writer, topic = Lock(run), JournalWriter(run.journal), "unit-01/chapter-01/topic-01"
step = lambda n: e.Step(topic, "sft", n, 3, 4.0 - n, 1e-3, 1.0, 90, 30, 0.1, 10**9)
for event in (
    e.RunStarted("night", "c", 0, 1, {}), e.TopicStarted(topic, 1, 1), step(1), step(2), e.Warned("cut", "a row", 1),
    None, e.TopicFinished(topic, "passed", "voice 0.70", 9.0), None, e.RunFinished(1, 1, 0, "f", 9.0),
):
    if event is None:
        until = Path(sys.argv[1]) / "on"
        while not until.exists():
            time.sleep(0.05)
        until.unlink()
    else:
        writer.append(event)
"""
SAID = (
    "run night started",
    "topic 1/1",
    "step=1/3",
    "step=2/3",
    "cut: a row",
    "topic passed",
    "run finished passed=1/1",
    "in the model: 0 of 1 topics; not in it: unit-01/chapter-01/topic-01 (nothing kept)",
    *NEXT,
)


def test_on_a_terminal_the_progress_is_the_last_line_until_its_topic_is_over(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("curriculum: {path: here}\n")
    code = PROGRAM.format(supervisor=STEPS, before="")
    command = [sys.executable, "-c", code, "--no-ui", "mine.yaml", "--run-id", "night"]
    run = RunDir(tmp_path / "logs" / "night")
    progress = "unit-01/chapter-01/topic-01 sft 2/3 loss 2.000"

    def last(terminal: Terminal) -> str:
        return [row.rstrip() for row in terminal.screen.display if row.strip()][-1]

    with Terminal(command, (120, 40), cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as terminal:
        terminal.wait("cut: a row", 60)
        terminal.settle(0.3)
        assert last(terminal) == progress and terminal.text.count(progress) == 1
        (run.path / "on").touch()
        terminal.wait("topic passed")
        terminal.settle(0.3)
        assert "topic passed" in last(terminal) and progress not in terminal.text
        (run.path / "on").touch()
        assert terminal.ended(20) == 0
        rows = [row.rstrip() for row in terminal.screen.display if row.strip()]
    assert [said for said, row in zip(SAID, rows[1:], strict=True) if said in row] == list(SAID)


def test_on_a_terminal_the_progress_of_an_evaluation_is_one_line_that_changes(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("curriculum: {path: here}\n")
    scoring = 'e.Preparing("scoring"), *(e.Preparing(f"{n} of 9 answers", True) for n in range(7)), None,'
    code = PROGRAM.format(supervisor=STEPS.replace("e.TopicStarted(", f"{scoring} e.TopicStarted(", 1), before="")
    command = [sys.executable, "-c", code, "--no-ui", "mine.yaml", "--run-id", "night"]
    with Terminal(command, (120, 40), cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as terminal:
        terminal.wait("6 of 9 answers")
        assert terminal.text.count("of 9 answers") == 1
        Path(tmp_path, "logs", "night", "on").touch()
        terminal.wait("topic 1/1")
        terminal.settle(0.3)
        assert "of 9 answers" not in terminal.text


def test_a_progress_line_that_is_too_long_is_cut(tmp_path: Path) -> None:
    """What went on in a second row would never be taken away again."""
    (tmp_path / "mine.yaml").write_text("curriculum: {path: here}\n")
    code = PROGRAM.format(supervisor=STEPS, before="")
    command = [sys.executable, "-c", code, "--no-ui", "mine.yaml", "--run-id", "night"]
    with Terminal(command, (40, 40), cwd=str(tmp_path), PYTHONPATH=str(ROOT)) as terminal:
        terminal.wait("cut: a row", 60)
        terminal.settle(0.3)
        assert sum("topic-01 sft 2/3" in row for row in terminal.screen.display) == 1
        Path(tmp_path, "logs", "night", "on").touch()
        terminal.wait("seconds=9")
        terminal.settle(0.3)
        assert not any("topic-01 sft 2/3" in row for row in terminal.screen.display)
        Path(tmp_path, "logs", "night", "on").touch()
        assert terminal.ended(20) == 0


def test_without_a_terminal_there_are_lines_alone_each_as_it_is_said(tmp_path: Path) -> None:
    run, process = started(tmp_path, STEPS)
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(6)]
    assert [said for said, row in zip(SAID, first[1:], strict=False) if said in row] == list(SAID[:5])
    for _ in range(2):
        (run.path / "on").touch()
        first.append(process.stdout.readline())
    first += process.stdout.readlines()  # `communicate` would lose what is in this file's buffer
    assert process.wait(30) == 0
    assert len(first) == 1 + len(SAID) and not any(
        "\r" in row or "\x1b" in row or " loss 2.000" in row for row in first
    )
