"""votes.jsonl: whole lines, what is damaged is counted, and an undo takes a vote back."""

import json
from pathlib import Path

import pytest
from voting import TOPIC

from engine.contract.run_folder.folder import RunDir
from mindprint_tui.votes import vote_file
from mindprint_tui.votes.agreement import tally
from mindprint_tui.votes.vote_file import Choice, Side, Vote, append, read_votes, undo


def made(number: int, choice: Choice = "1", first: float | None = 0.9, second: float | None = 0.1) -> Vote:
    sides = Side("night", "before", "It is lit.", first), Side("night", "sft", "Aye.", second)
    return Vote(f"{number:016x}", 1.0, 0, TOPIC, f"Question {number}?", *sides, choice)


def test_votes_stand_until_they_are_taken_back_or_replaced(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for line in (made(1), made(2), undo(made(1).pair), made(3), made(2, "0"), undo(f"{9:016x}")):
        append(run, line)
    votes = read_votes(run)
    assert list(votes.standing) == [made(3).pair, made(2).pair] and votes.damage == ""
    assert votes.standing[made(2).pair].choice == "0"
    last = votes.last([made(3).pair])
    assert last == made(3)


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON",
        b"[]",
        b'{"kind": "vote"}',
        b'{"kind": "undo", "pair": "../../etc/passwd", "t": 1.0}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"kind": "count", "pair": "0000000000000001", "t": 1.0}',
    ],
)
def test_a_damaged_line_is_counted_and_the_others_are_read(tmp_path: Path, line: bytes) -> None:
    run = RunDir(tmp_path)
    append(run, made(1))
    with open(run.votes, "ab") as file:
        file.write(line)
    append(run, made(2))
    votes = read_votes(run)
    assert len(votes.standing) == 2 and votes.damage == "1 line of votes.jsonl cannot be read"


def test_a_choice_that_was_changed_on_the_disk_is_damaged(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    append(run, made(1, "1"))
    run.votes.write_bytes(run.votes.read_bytes().replace(b'"choice": "1"', b'"choice": "2"'))
    assert read_votes(run).damaged == 1
    assert all(vote_file.parse(json.dumps({"kind": "undo", "pair": "0" * 16, "t": t}).encode()) for t in (0, 1.5))


def test_agreement_counts_decided_votes_in_which_the_voices_differ() -> None:
    votes = [
        made(1, "1"),  # agrees
        made(2, "2"),  # disagrees
        made(3, "2", 0.1, 0.9),  # agrees
        made(4, "1", 0.5, 0.5),  # the score does not say
        made(5, "1", None, 0.5),
        made(6, "="),
        made(7, "0"),
    ]
    found = tally(votes)
    assert (found.votes, found.decided, found.same, found.neither) == (7, 5, 1, 1)
    assert (found.agree, found.compared) == (2, 3)
    assert found.agreement == "2 of 3, 0.67 (90 % interval 0.25 to 0.92)"
    assert found.by_stage == ["night before 3", "night after SFT 2"]
    assert tally([made(1, "=")]).agreement == "no vote yet in which the voices differ"
