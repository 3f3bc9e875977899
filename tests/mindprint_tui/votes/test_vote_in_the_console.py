"""The key `v`: a vote in the console's terminal, and the console again after it."""

import json
import os
import signal
from pathlib import Path

from terminal import Terminal, console_on
from voting import run_of


def test_v_votes_in_this_terminal_and_q_comes_back(tmp_path: Path) -> None:
    run = run_of(tmp_path / "logs", 4)
    with Terminal(console_on(run.path), (80, 24)) as terminal:
        terminal.wait("1 Topics")
        terminal.type("v")
        terminal.wait("1 of 4 ")
        terminal.type("1")
        terminal.wait("2 of 4 ")
        os.killpg(os.tcgetpgrp(terminal.descriptor), signal.SIGINT)  # as Ctrl-C does: it leaves the vote alone
        terminal.wait("1 Topics")
        terminal.type("v")
        terminal.wait("2 of 4 ")
        terminal.type("q")
        terminal.wait("1 Topics")
        terminal.type("q")
        assert terminal.ended(20) == 0
    assert [json.loads(line)["choice"] for line in run.votes.read_text().splitlines()] == ["1"]


def test_v_says_why_if_there_is_nothing_to_vote_on(tmp_path: Path) -> None:
    run = run_of(tmp_path / "logs", 4)
    lines = run.journal.read_text().splitlines(keepends=True)
    run.journal.write_text("".join(lines[:8]))
    with Terminal(console_on(run.path), (100, 24)) as terminal:
        terminal.wait("1 Topics")
        terminal.type("v")
        terminal.wait("vote: no trained topic is finished yet")
