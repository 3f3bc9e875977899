"""Talking to a model: what it says is hostile, what is typed is a question, and Ctrl-C stops an answer."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import Terminal

from engine.contract import python_child
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.process import chat, programs

HOSTILE = st.lists(st.text(st.sampled_from("ab \r\n\t\x1b]52;\x9b\u202e\u0301漢🗼\x07")), max_size=8)
MODEL = """
import json, signal, sys, time
stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
def say(**fields): print(json.dumps(fields), flush=True)
say(ready="a \\x1b[31mmodel")
for line in sys.stdin:
    asked = json.loads(line)
    if asked["question"] == "die":
        sys.exit(1)
    if asked["question"] == "refuse":
        say(refused="too long")
        continue
    say(text="to " + asked["question"] + (" anew" if asked["fresh"] else "") + ": \\x1b]52;c;aGk=\\x07\\u202e\\r")
    while asked["question"] == "endless" and not stopped:
        time.sleep(0.01)
    say(text="\\nAye.")
    say(end="stopped" if stopped else "eos")
"""


@given(HOSTILE)
def test_pieces_are_as_safe_as_the_whole(pieces: list[str]) -> None:
    screened = chat.SanitizedStream()
    shown = "".join(screened.add(piece) for piece in pieces)
    whole = "".join(pieces)
    assert shown == clean(whole.removesuffix("\r"))


def test_a_line_without_an_end_is_not_looked_at_again_and_again() -> None:
    screened = chat.SanitizedStream()
    shown = "".join(screened.add("ab\x1b") for _ in range(5000))
    assert shown == "ab␛" * 5000


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "command", lambda *_: [sys.executable, "-c", MODEL])


def piped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    status = chat.chat(RunDir(Path("logs/run")), None, None)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


@pytest.mark.usefixtures("fake")
def test_each_piped_line_is_a_question_of_its_own(monkeypatch, capsys) -> None:
    status, out, err = piped(monkeypatch, capsys, "one\n\n  two \nrefuse\nthree")
    blocks = out.split("\n\n")
    assert status == 0 and err == "too long\n"
    assert blocks == [
        *(f"to {word} anew: ␛]52;c;aGk=␇\\u202e\nAye." for word in ("one", "two")),
        "",
        "to three anew: ␛]52;c;aGk=␇\\u202e\nAye.",
        "",
    ]


HOSTILE_WORDS = "\x1b]52;c;aGk=\x07\x1b[2J\u202ex\n\n"
ASIDE = f"""
import sys
sys.stderr.buffer.write({HOSTILE_WORDS!r}.encode() + b"half \\xff of it")
sys.stdout.buffer.write({HOSTILE_WORDS!r}.encode()) if len(sys.argv) > 1 else None
sys.exit(2)
"""
HARMLESS = "␛]52;c;aGk=␇␛[2J\\u202ex\n\n"


def test_what_the_engine_says_beside_its_answers_is_shown_and_not_obeyed(monkeypatch, capsys) -> None:
    monkeypatch.setattr(chat, "command", lambda *_: [sys.executable, "-c", ASIDE])
    assert piped(monkeypatch, capsys, "one\n") == (2, "", f"{HARMLESS}half � of it\n")


def test_what_an_export_says_is_shown_and_not_obeyed(monkeypatch, capfd, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{ASIDE}")
    program.chmod(0o700)
    monkeypatch.setattr(python_child, "PYTHON", (str(program),))
    assert programs.export(RunDir(tmp_path), tmp_path / "made", "mlx", None) == 2
    assert capfd.readouterr() == (HARMLESS, f"{HARMLESS}half � of it\n")


@pytest.mark.usefixtures("fake")
def test_an_engine_that_ends_is_not_an_answer(monkeypatch, capsys) -> None:
    status, _, err = piped(monkeypatch, capsys, "one\ndie\ntwo\n")
    assert (status, err) == (3, "the engine ended before it answered\n")


CONSOLE = f"""
import sys
from pathlib import Path
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.process import chat
MODEL = {MODEL!r}
chat.command = lambda *_: [sys.executable, "-c", MODEL]
sys.exit(chat.chat(RunDir(Path("logs/run")), None, None))
"""


def test_on_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_ends() -> None:
    with Terminal([sys.executable, "-c", CONSOLE]) as terminal:
        terminal.wait("a ␛[31mmodel. An empty line or Ctrl-D ends")
        terminal.type("endless\n")
        terminal.wait("to endless: ␛]52")
        terminal.type("\x03")
        terminal.wait("Aye. … [stopped]")
        terminal.type("\x04")
        assert terminal.ended(20) == 0


def test_commands_on_a_terminal_begin_anew_and_change_the_stage() -> None:
    stages = CONSOLE.replace("lambda *_:", "lambda run, stage, tokens:").replace(
        '"-c", MODEL]', '"-c", MODEL.replace("model", f"{stage} model of {tokens}")]'
    )
    with Terminal([sys.executable, "-c", stages]) as terminal:
        terminal.wait("None model of 512. An empty line or Ctrl-D ends")
        terminal.type("/reset\n")
        terminal.wait("a new conversation")
        terminal.type("one\n")
        terminal.wait("to one anew")
        terminal.type("two\n")
        terminal.wait("to two: ")
        terminal.type("/nonsense\n")
        terminal.wait("/nonsense: no such command")
        terminal.wait("/stage TOPIC")
        terminal.type("/stage before\n")
        terminal.wait("before model of 512")
        terminal.type("three\n")
        terminal.wait("to three: ")
        terminal.type("\x04")
        assert terminal.ended(20) == 0
