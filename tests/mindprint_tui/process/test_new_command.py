"""`mindprint-tui new`: two commands from texts to a training, questions only where they are needed, nothing lost."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import someones_texts as nell
from terminal import Terminal
from tiny import make_model

from engine.contract.settings.load import load_config
from engine.contract.workbook.drafts import Decision
from engine.contract.workbook.files import WorkbookDir, append
from engine.contract.workbook.workbook import read_workbook
from engine.pipeline import setup

PROGRAM = Path(sys.executable).with_name("mindprint-tui")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("new") / "model")


def new(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "new", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder in which `new me` was called on the sixty texts and a chat."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "chat.txt").write_text(nell.chat(120), encoding="utf-8")
    done = new(folder, "me", "--from", nell.SIXTY, "--from", "chat.txt", "--me", nell.PERSON, "--model", model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mindprint-tui me.yaml" in done.stdout and "mindprint-tui review me" in done.stdout
    return folder


def test_the_engine_reads_what_was_made_without_a_warning_or_a_leak(made: Path) -> None:
    config = load_config(made / "me.yaml")
    curriculum = setup.load(config)
    assert not curriculum.warnings and not curriculum.unusable
    assert not [line for line in setup.reasons_not_to_run(curriculum, config) if "held out" in line]
    book = read_workbook(WorkbookDir(made / "me"))
    (topic,) = curriculum.topics
    assert len(topic.questions) >= 5
    assert len(topic.sft) + len(topic.questions) == sum(entry.usable for entry in book.entries())
    assert any(len(row.messages) > 1 for row in topic.sft), "conversations of several turns are kept"
    assert any('"made":["question"]' in line for line in (made / "me" / "sft.jsonl").read_text().splitlines())
    assert "| chat.txt | WhatsApp chat | 121 |" in (made / "me" / "README.md").read_text()


def test_more_texts_keep_every_decision_and_an_edited_configuration(made: Path, tmp_path: Path, model: Path) -> None:
    subprocess.run(["cp", "-r", f"{made}/.", tmp_path], check=True)
    folder = WorkbookDir(tmp_path / "me")
    before = read_workbook(folder)
    usable = [entry for entry in before.entries() if entry.usable]
    append(folder.decisions, Decision(usable[0].draft.id, keep=False))
    with folder.config.open("a") as file:
        file.write("run:\n  seed: 7\n")
    nell.posts(tmp_path / "posts", 3)
    done = new(tmp_path, "me", "--from", "posts")
    assert done.returncode == 0, done.stderr
    assert "me.yaml is not written again" in done.stdout
    after = read_workbook(folder)
    assert after.made.items() >= before.made.items() and list(after.drafts)[: len(before.drafts)] == list(before.drafts)
    assert usable[0].turns[-1].text not in (tmp_path / "me" / "sft.jsonl").read_text()
    assert load_config(folder.config).run.seed == 7


def test_a_killed_call_goes_on_and_ends_with_the_same_rows(made: Path, tmp_path: Path, model: Path) -> None:
    (tmp_path / "chat.txt").write_bytes((made / "chat.txt").read_bytes())
    arguments = ["--from", nell.SIXTY, "--from", "chat.txt", "--me", nell.PERSON, "--model", model]
    command, quiet = [PROGRAM, "new", "me", *map(str, arguments)], subprocess.DEVNULL
    child = subprocess.Popen(command, cwd=tmp_path, stdout=quiet, stderr=quiet, start_new_session=True)
    lines = tmp_path / "me" / "workbook" / "made.jsonl"
    limit = time.monotonic() + 120
    while not lines.exists() and time.monotonic() < limit:
        time.sleep(0.02)
    command = ["pgrep", "-f", f"engine.new {tmp_path}/me"]
    engine = subprocess.run(command, capture_output=True, text=True, check=False)
    os.kill(int(engine.stdout.split()[0]), signal.SIGKILL)
    assert child.wait(60) == 3
    kept = lines.read_bytes()
    assert new(tmp_path, "me").returncode == 0
    assert lines.read_bytes().startswith(kept.rpartition(b"\n")[0])
    there, whole = (read_workbook(WorkbookDir(folder / "me")) for folder in (tmp_path, made))
    assert there.drafts == whole.drafts
    assert [entry.usable for entry in there.entries()] == [entry.usable for entry in whole.entries()]


def test_without_a_terminal_an_error_lists_the_people(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text(nell.chat(40), encoding="utf-8")
    done = new(tmp_path, "me", "--from", "chat.txt")
    assert done.returncode == 2 and "--me NAME" in done.stderr and f"{nell.PERSON} (" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["chat.txt"], "nothing is left behind"


def test_in_a_terminal_it_asks_who_the_person_is(tmp_path: Path, model: Path) -> None:
    (tmp_path / "chat.txt").write_text(nell.chat(60), encoding="utf-8")
    command = [str(PROGRAM), "new", "me", "--from", "chat.txt", "--model", str(model)]
    with Terminal(command, cwd=str(tmp_path)) as terminal:
        terminal.wait("Which of them are you", 60)
        assert f"1  {nell.PERSON} (" in terminal.text
        terminal.type("1\r")
        assert terminal.ended(120) == 0
    assert (tmp_path / "me" / "sft.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["me"], "name your texts with --from PATH"),
        (["me", "--from", "none.txt"], "none.txt: no such file or folder"),
        (["taken", "--from", "chat.txt"], "was not made by mindprint-tui new, so nothing of it is touched"),
        (["chat.txt", "--from", "chat.txt"], "chat.txt is a file"),
        (["me", "--from", "chat.txt", "--topics", "many"], "--topics: found 'many'"),
        (["me", "--from", "chat.txt", "--language", "xx"], "--language: found 'xx'"),
        (["me", "--from", "chat.txt", "--names", "bad.csv"], "bad.csv, row 2: found 3 columns"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    (tmp_path / "chat.txt").write_text(nell.chat(20), encoding="utf-8")
    (tmp_path / "bad.csv").write_text("Ann,A.\nBob,B.,C.\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    done = new(tmp_path, *arguments)
    assert done.returncode == 2 and re.search(re.escape(expected), done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["letter.txt"]
    assert not (tmp_path / "me").exists()


def test_texts_named_like_a_configuration_are_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(nell.SIXTY.read_bytes())
    done = subprocess.run([PROGRAM, "notes.txt"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "mindprint-tui new notes --from notes.txt" in done.stderr
