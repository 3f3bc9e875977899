"""Voting in a real terminal of 80x24: forty votes, broken off, continued, one undone."""

import json
import math
import os
import re
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal
from voting import HOSTILE, key_for, run_of

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))
PAIRS = 42
Z = 1.6448536269514722  # the 95 % quantile of the normal distribution


def vote(folder: Path, *words: str) -> Terminal:
    return Terminal([PROGRAM, "vote", *words], (80, 24), cwd=str(folder))


def standing(file: Path) -> list[dict[str, Any]]:
    """Returns the votes that were not taken back, read without the program. Half a line is none."""
    found: dict[str, dict[str, Any]] = {}
    for line in filter(lambda line: line.endswith("}"), file.read_text().splitlines()):
        row = json.loads(line)
        found.pop(row["pair"], None)
        if row["kind"] == "vote":
            found[row["pair"]] = row
    return list(found.values())


def counted_by_hand(votes: Sequence[dict[str, Any]]) -> str:
    """Returns the agreement and Wilson's interval as the program should show them."""
    agree = n = 0
    for row in votes:
        first, second = row["first"]["voice"], row["second"]["voice"]
        if row["choice"] in "12" and first != second:
            n += 1
            agree += (row["choice"] == "1") == (first > second)
    share = agree / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return f"{agree} of {n}, {share:.2f} (90 % interval {middle - half:.2f} to {middle + half:.2f})"


def cast(terminal: Terminal, numbers: Sequence[int]) -> None:
    for number in numbers:
        terminal.wait(f"{number + 1} of {PAIRS} ")
        terminal.type(key_for(number))


def test_forty_votes_are_broken_off_continued_and_one_is_undone(tmp_path: Path) -> None:
    run = run_of(tmp_path / "logs", PAIRS, HOSTILE)
    with vote(tmp_path, "night") as terminal:
        cast(terminal, range(25))
        terminal.wait(f"26 of {PAIRS} ")
        first = bytes(terminal.raw)
        os.kill(terminal.pid, signal.SIGKILL)  # the connection is lost
        terminal.ended(20)
    assert len(standing(run.votes)) == 25 and stat.S_IMODE(run.votes.stat().st_mode) == 0o600
    with open(run.votes, "ab") as file:
        file.write(b'{"kind": "vote", "pair": "0123')  # a line that the disk has half
    with vote(tmp_path, "night") as terminal:
        terminal.wait("1 line of votes.jsonl cannot be read")
        cast(terminal, range(25, 40))
        terminal.wait(f"41 of {PAIRS} ")
        assert counted_by_hand(standing(run.votes)) in re.sub(r"\s+", " ", terminal.text)
        terminal.type("x")
        terminal.send(b"\x1b[2~")  # the key Insert, which has the digit 2 in its bytes
        terminal.settle(0.3)
        last = standing(run.votes)[-1]
        assert len(standing(run.votes)) == 40
        terminal.type("u")
        terminal.wait("the last vote is taken back")
        terminal.wait(f"── 40 of {PAIRS} ")
        assert last["question"] in terminal.text and len(standing(run.votes)) == 39
        blind = first + bytes(terminal.raw)
        terminal.type("q")
        terminal.wait("39 votes: 29 decided, 5 alike, 5 for neither")
        terminal.wait(f"agrees with the score: {counted_by_hand(standing(run.votes))}")
        terminal.wait("preferred: night after SFT")
        assert terminal.ended(20) == 0
    assert b"SFT" not in blind and b"before" not in blind  # nothing says which answer is whose
    assert b"\x1b]52" not in blind and b"\x1b[2J" not in blind and "␛]52".encode() in blind
    rows = [json.loads(line) for line in run.votes.read_text().splitlines() if line.endswith("}")]
    assert len({row["pair"] for row in rows}) == 40  # no pair was asked twice
    orders = {row["first"]["stage"] for row in rows if row["kind"] == "vote"}
    assert orders == {"before", "sft"} and {row.get("seed", 0) for row in rows} == {0}


def test_after_the_last_pair_a_vote_can_still_be_undone(tmp_path: Path) -> None:
    run = run_of(tmp_path / "logs", 2)
    with vote(tmp_path) as terminal:
        terminal.wait("1 of 2 ")
        terminal.type("u")
        terminal.wait("there is no vote to take back")
        terminal.type("12")
        terminal.wait("All 2 pairs have a vote")
        terminal.type("u")
        terminal.wait("the last vote is taken back")
        terminal.type("\x03")
        terminal.wait("1 vote: 1 decided")
        assert terminal.ended(20) == 0
    assert len(standing(run.votes)) == 1


@pytest.mark.parametrize("damage", ["link", "pipe", "folder"])
def test_a_place_that_is_no_file_gets_one_sentence(tmp_path: Path, damage: str) -> None:
    run = run_of(tmp_path / "logs", 2)
    (tmp_path / "mine").write_text("")
    {
        "link": lambda: run.votes.symlink_to(tmp_path / "mine"),
        "pipe": lambda: os.mkfifo(run.votes),
        "folder": run.votes.mkdir,
    }[damage]()
    with vote(tmp_path, "night") as terminal:
        if damage == "link":
            terminal.wait("1 of 2 ")
            terminal.type("1")
        assert terminal.ended(20) == 2
        assert "votes.jsonl: " in terminal.text and "Traceback" not in terminal.text
    assert (tmp_path / "mine").read_text() == ""
