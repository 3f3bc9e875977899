"""Votes as preference rows: a next run loads them, and trains on no question that is held out."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from golden import put
from tiny import TOPICS, make_curriculum
from voting import NOW, run_of

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import CurriculumConfig, SourceConfig
from engine.contract.vocabulary import COPY
from engine.data.curriculum import Curriculum, load_curriculum
from engine.data.heldout.leaks import find_leaks
from mindprint_tui.cli import cli
from mindprint_tui.votes.preference_rows import require_replaceable, rows_of
from mindprint_tui.votes.vote_file import Choice, Side, Vote, append, read_votes

ASKED = ("What good is any lamp at sea?", "What good is any rope at sea?")  # the questions of the tiny curriculum


def voted(folder: Path, choices: Sequence[Choice] = ("1", "2"), answer: str = "Aye, it guides ye.") -> RunDir:
    run = put(folder / "night", [Record(0, NOW, e.RunStarted("night", "tiny", 0, 1, {}))])
    for number, choice in enumerate(choices):
        place = number % 2
        sides = Side("night", "sft", answer, 0.9), Side("night", "before", f"It is useful, {number}.", 0.2)
        first, second = sides if choice == "1" else sides[::-1]
        append(run, Vote(f"{number:016x}", NOW, 0, TOPICS[place], ASKED[place], first, second, choice))
    return run


def written(run: RunDir, *words: str) -> str:
    done = CliRunner().invoke(cli, ["vote", str(run.path), *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def loaded(course: Path, votes: Path) -> Curriculum:
    both = tuple(SourceConfig(str(path)) for path in (course / "preferences.jsonl", votes))
    return load_curriculum(CurriculumConfig(path=str(course), preferences=both), needs_pairs=True)


def test_the_rows_of_held_out_questions_measure_and_do_not_train(tmp_path: Path) -> None:
    course, rows = make_curriculum(tmp_path / "course"), tmp_path / "votes.jsonl"
    run = voted(tmp_path, ("1", "2", "=", "0"))
    told = written(run, "--to", str(rows))
    assert "2 rows; they measure and do not train (heldout: true)" in " ".join(told.split())
    assert rows.stat().st_mode & 0o777 == 0o600
    found = loaded(course, rows)
    for topic, question in zip(found.topics, ASKED, strict=True):
        measured = [pair for pair in topic.heldout if pair.messages[-1].content == question]
        assert [(pair.chosen, pair.rejected[:12]) for pair in measured] == [("Aye, it guides ye.", "It is useful")]
        trained = [*topic.pairs, *topic.sft]
        assert question not in {row.messages[-1].content for row in trained} and len(topic.pairs) == 2
    assert not list(find_leaks(found.topics)) and not [w for w in found.warnings if "votes.jsonl" in w]


def test_rows_that_train_are_refused_by_a_run_that_still_asks_their_questions(tmp_path: Path) -> None:
    course, rows = make_curriculum(tmp_path / "course"), tmp_path / "votes.jsonl"
    told = written(voted(tmp_path), "--to", str(rows), "--train")
    assert "a run that still asks these questions refuses them" in " ".join(told.split())
    leaks = list(find_leaks(loaded(course, rows).topics))
    assert len(leaks) == 2 and all("quiz.jsonl" in leak and "votes.jsonl" in leak for leak in leaks)
    other = shutil.copytree(course, tmp_path / "other")
    quiz = [json.loads(line) for line in (other / "quiz.jsonl").read_text().splitlines()]
    for number, row in enumerate(quiz):
        row |= {"question": f"Would {number} ships be lost without one?", "reference": f"Nay, but {number} might."}
    (other / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in quiz))
    found = loaded(other, rows)
    assert not list(find_leaks(found.topics))
    assert [[pair.messages[-1].content for pair in topic.pairs][-1] for topic in found.topics] == list(ASKED)


def test_votes_that_make_no_row_are_counted_with_the_reason(tmp_path: Path) -> None:
    votes = read_votes(voted(tmp_path / "empty", answer=" ")).standing.values()
    found = rows_of(RunDir(tmp_path / "night"), votes, False)
    assert not found.rows and found.left_out == {"one of its answers is empty": 2}
    for void, train, rows in ((COPY, False, 0), ("cut off", False, 1), ("cut off: 96 tokens", True, 0)):
        side = Side("night", "sft", "Aye.", 0.0, void)
        vote = Vote("0" * 16, NOW, 0, TOPICS[0], ASKED[0], side, Side("night", "before", "It is."), "1")
        found = rows_of(RunDir(tmp_path / "night"), [vote], train)
        assert len(found.rows) == rows
        why = f"the preferred answer is void: {void.partition(':')[0]}"
        assert rows or f"left out: 1 vote: {why}" in found.said(tmp_path / "rows.jsonl", train)


def test_only_a_file_of_the_same_run_is_replaced(tmp_path: Path) -> None:
    run, rows = voted(tmp_path), tmp_path / "rows.jsonl"
    written(run, "--to", str(rows))
    first = rows.read_text()
    append(run, Vote("f" * 16, NOW, 0, TOPICS[0], ASKED[0], Side("a", "sft", "Aye."), Side("a", "dpo", "No."), "1"))
    written(run, "--to", str(rows))
    assert rows.read_text().startswith(first) and len(rows.read_text().splitlines()) == 3
    other = run_of(tmp_path, 1, name="noon")
    for text in (first, first + "mine\n", '{"topic": "a"}\n', "[" * 50_000):
        rows.write_text(text)
        wanted = other if text == first else run
        with pytest.raises(InputError, match="it exists and has other rows than the votes of"):
            require_replaceable(wanted, rows)
        assert rows.read_text() == text
    with pytest.raises(InputError, match="a place for the run's own files"):
        require_replaceable(run, run.votes)


def test_without_a_terminal_only_rows_are_written(tmp_path: Path) -> None:
    run = run_of(tmp_path, 2)
    with pytest.raises(InputError, match="vote needs a terminal"):
        CliRunner().invoke(cli, ["vote", str(run.path)], catch_exceptions=False)
    assert "0 rows" in written(run, "--to", str(tmp_path / "rows.jsonl"))
