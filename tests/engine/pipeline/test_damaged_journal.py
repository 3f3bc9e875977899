"""A damaged journal: a run is never begun a second time, and never gone on with to other bytes."""

import shutil

import pytest
from breaking import FIRST

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from tests.engine.pipeline.test_broken_runs import damage_first_line, engine, stopped_between_topics


def _is_left_as_it_was(run: RunDir, monkeypatch: pytest.MonkeyPatch, words: str, capsys) -> None:
    """Resuming is refused with a sentence that names the line; what was committed keeps its bytes."""
    before = {file: file.read_bytes() for file in run.adapters.rglob("*") if file.is_file()}
    assert engine(run, monkeypatch) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert words in sentence and str(run.journal) in sentence
    assert {file: file.read_bytes() for file in run.adapters.rglob("*") if file.is_file()} == before


@pytest.fixture
def stopped(tmp_path, kit, monkeypatch) -> RunDir:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    stopped_between_topics(run, kit, monkeypatch)
    return run


def test_a_bad_byte_in_the_first_line_begins_no_run_over_a_ledger(stopped, monkeypatch, capsys):
    damage_first_line(stopped)
    _is_left_as_it_was(stopped, monkeypatch, "journal.jsonl:1: found a line that cannot be read", capsys)


def test_an_empty_journal_begins_no_run_over_a_ledger(stopped, monkeypatch, capsys):
    stopped.journal.write_bytes(b"")
    _is_left_as_it_was(stopped, monkeypatch, "journal.jsonl:1: run_started is missing", capsys)


def test_a_second_line_is_enough(stopped, monkeypatch, capsys):
    damage_first_line(stopped)
    shutil.rmtree(stopped.adapters)
    lines = stopped.journal.read_bytes().splitlines(keepends=True)
    stopped.journal.write_bytes(b"".join(lines[1:]))
    _is_left_as_it_was(stopped, monkeypatch, ", expected run_started", capsys)


def test_a_run_whose_engine_died_before_it_said_a_word_is_begun(tmp_path, kit, monkeypatch):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    journal = JournalWriter(run.journal)
    journal.append(e.EngineDied(None, "SIGKILL", 1))
    journal.close()
    stopped_between_topics(run, kit, monkeypatch, FIRST)
