"""The bell and OSC 9 of an attached console: for news that a person wants, not for what is read from before."""

from pathlib import Path

import pytest
from golden import put
from terminal import Terminal, console_on

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.run_folder.folder import RunDir
from engine.runtime.recorder import Recorder
from mindprint_tui.tui.bell import Bell

TOPIC = "unit-01/chapter-01/topic-01"
COLLAPSED = e.TopicFinished(TOPIC, "collapsed", "the answers collapsed", 1.0)


def run_with(folder: Path, notify: str) -> RunDir:
    run = put(folder / "night", [Record(0, 1.0, e.RunStarted("night", "keeper", 0, 1, {})), Record(1, 2.0, COLLAPSED)])
    run.config.write_text(f"curriculum: {{path: .}}\nrun: {{notify: {notify}}}\n")
    return run


def test_an_attached_console_rings_for_news(tmp_path: Path) -> None:
    run = run_with(tmp_path, "{}")
    with Terminal(console_on(run.path)) as terminal:
        terminal.wait("1 Topics")
        terminal.settle(1.0)
        assert b"\a" not in terminal.raw.replace(b"]22;default\a", b"").replace(b"]22;\a", b""), "it is old"
        recorder = Recorder(run)
        recorder.say(e.Paused("\x1b]0;pause_on\a"))
        recorder.close()
        terminal.sent("\a\x1b]9;mindprint night: paused by ", 20)


def test_what_rings_and_how_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    bell = Bell(run_with(tmp_path, "{tell: [collapsed, died]}"))
    died = [Record(3, 3.0, e.EngineDied(None, "\x1b[2J\x07KILL", 1))]
    collapsed = [Record(2, 3.0, COLLAPSED)]
    assert bell.ring(collapsed * 2, 0.0) == f"\a\x1b]9;mindprint night: {TOPIC}: collapsed\a"
    assert bell.ring([Record(4, 3.0, e.Paused("x"))], 1.0) == ""
    assert bell.ring(collapsed, 59.0) == "" and bell.ring(collapsed, 60.0) != ""
    assert bell.ring(died, 61.0).count("\x1b") == 1, "a text in it obeys nothing"
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    assert bell.ring(died, 200.0).startswith("\a\x1bPtmux;\x1b\x1b]9;")


@pytest.mark.parametrize("notify", ["{terminal: false}", "{tell: [ended]}", "{tell: nonsense}"])
def test_a_console_that_is_silent(tmp_path: Path, notify: str) -> None:
    assert Bell(run_with(tmp_path, notify)).ring([Record(2, 3.0, COLLAPSED)], 0.0) == ""
