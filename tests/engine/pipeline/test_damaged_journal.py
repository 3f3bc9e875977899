"""A damaged journal: a run is never begun a second time, and never gone on with to other bytes."""

import json
import shutil

import pytest
import tiny
from breaking import FIRST, SECOND, settings, stopping_after
from check_sums import without_sums

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.training import checkpoint
from tests.engine.pipeline.test_broken_runs import damage_first_line, engine, stopped_between_topics


def _is_left_as_it_was(run: RunDir, monkeypatch: pytest.MonkeyPatch, words: str, capsys) -> None:
    """Resuming is refused with a sentence that names the line; what was committed keeps its bytes."""
    before = {file: file.read_bytes() for file in run.adapters.rglob("*") if file.is_file()}
    assert engine(run, monkeypatch) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert words in sentence and str(run.journal) in sentence
    assert {file: file.read_bytes() for file in run.adapters.rglob("*") if file.is_file()} == before


@pytest.fixture(scope="module")
def one_topic(tmp_path_factory, kit) -> RunDir:
    """A run that was stopped after its first topic, trained once for all tests; they damage copies of it."""
    run = RunDir(tmp_path_factory.mktemp("stopped") / "run")
    run.path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        stopped_between_topics(run, kit, patch)
    return run


@pytest.fixture
def stopped(tmp_path, one_topic) -> RunDir:
    return RunDir(shutil.copytree(one_topic.path, tmp_path / "run"))


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


KINDS = ("topic_started", "topic_finished", "evaluated", "curriculum_loaded", "model_loaded", "decided", "adapter")


def _line_of(run: RunDir, kind: str) -> tuple[list[bytes], int]:
    """The lines of the journal, and the place of the first one of a kind."""
    lines = run.journal.read_bytes().splitlines(keepends=True)
    return lines, next(place for place, line in enumerate(lines) if b'"kind": "%s"' % kind.encode() in line)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["a bad byte", "cut", "zeros", "removed", "twice"])
def test_a_damaged_line_is_named(stopped, monkeypatch, capsys, kind, damage):
    lines, place = _line_of(stopped, kind)
    whole = lines[place]
    ways = {
        "a bad byte": [b"\xff" + whole[1:]],
        "cut": [whole[:20] + b"\n"],
        "zeros": [bytes(len(whole) - 1) + b"\n"],
        "removed": [],
        "twice": [whole, whole],
    }
    lines[place : place + 1] = ways[damage]
    stopped.journal.write_bytes(b"".join(lines))
    line = place + 1 + (damage == "twice")
    if damage == "removed" and place == len(lines):
        pytest.skip("a journal may end anywhere")
    _is_left_as_it_was(stopped, monkeypatch, f"journal.jsonl:{line}: ", capsys)


@pytest.mark.parametrize("kind", ["step", "warned", "preparing"])
def test_a_damaged_line_on_which_nothing_hangs_is_said(stopped, monkeypatch, unbroken, kind):
    lines, place = _line_of(stopped, kind)
    lines[place] = b"\xff" + lines[place][1:]
    stopped.journal.write_bytes(b"".join(lines))
    assert engine(stopped, monkeypatch) == 0
    ran = tiny.Ran(stopped)
    assert ran.adapters() == unbroken["sft"].adapters()
    (warning,) = ran.of(e.Warned, key="journal")
    assert warning.message == f"1 line of the journal cannot be read ({place + 1})"
    assert json.loads(stopped.summary.read_text())["seconds"] < 3600


def test_a_line_about_a_topic_of_nobody_is_named(stopped, monkeypatch, capsys):
    lines, place = _line_of(stopped, "topic_started")
    lines[place] = without_sums(lines[place]).replace(b"topic-01", b"topic-81")
    stopped.journal.write_bytes(b"".join(lines))
    _is_left_as_it_was(stopped, monkeypatch, f"journal.jsonl:{place + 1}: found topic_started of", capsys)


@pytest.mark.parametrize("way", ["a bit of the arrays", "a number of the ledger", "a topic"])
def test_a_flipped_bit_of_what_was_committed_is_seen(stopped, monkeypatch, capsys, way):
    (arrays,) = stopped.adapters.glob("*/adapters.safetensors")
    if way == "a bit of the arrays":
        data = bytearray(arrays.read_bytes())
        data[-4] ^= 1  # the lowest bit of the last number, which rounds away
        arrays.write_bytes(data)
    elif way == "a number of the ledger":
        ledger = stopped.adapters / "ledger.json"
        ledger.write_text(ledger.read_text().replace('"commits": 1', '"commits": 3'))
    else:
        config = arrays.with_name("adapter_config.json")
        config.write_text(config.read_text().replace("topic-01", "topic-02"))
    assert engine(stopped, monkeypatch) in (2, 3)
    capsys.readouterr()
    assert tiny.Ran(stopped).committed() == ["001-unit-01.chapter-01.topic-01-sft"]


@pytest.mark.parametrize("name", [checkpoint.ARRAYS, checkpoint.STATE])
def test_a_flipped_bit_of_a_checkpoint_costs_its_phase(tmp_path, kit, unbroken, monkeypatch, name):
    run = tiny.new_run(tmp_path / "run", settings(kit, "sft"))
    with monkeypatch.context() as patch:
        stopping_after(patch, "save_checkpoint", SECOND)
        assert engine(run, patch) == 130
    file = run.checkpoint / name
    data = bytearray(file.read_bytes())
    if name == checkpoint.ARRAYS:
        data[-4] ^= 1
    else:
        data = bytearray(bytes(data).replace(b'"step": 1', b'"step": 0'))
    file.write_bytes(data)
    assert engine(run, monkeypatch) == 0
    ran = tiny.Ran(run)
    assert ran.adapters() == unbroken["sft"].adapters()
    (warning,) = ran.of(e.Warned, key="checkpoint")
    assert "not those that were written" in warning.message
