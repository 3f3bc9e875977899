"""Broken runs, rules 17, 19, 21 to 24, 27 and 30: a start that is refused, a resume that cannot be, a false success."""

import contextlib
import dataclasses
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
import yaml
from breaking import FIRST, SECOND, bytes_of, screen, settings, stopping_after
from msgspec.structs import replace

from engine import __main__ as program
from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.data import curriculum
from engine.pipeline import decisions, exam
from engine.pipeline import run as pipeline
from engine.training import checkpoint
from engine.training.phases import settle


@dataclass(frozen=True)
class BrokenRun:
    """`prepare` makes what is wrong in a run folder, or in the engine, before `python -m engine` is run there."""

    name: str
    rule: str
    status: int
    words: str
    prepare: Callable[[RunDir, tuple, pytest.MonkeyPatch], None]


fault: list[BrokenRun] = []


def broken(rule: str, status: int, words: str) -> Callable:
    def keep(function: Callable) -> Callable:
        fault.append(BrokenRun(function.__name__, rule, status, words, function))
        return function

    return keep


def configured(run: RunDir, kit: tuple, **sections: dict) -> Path:
    """Writes a configuration with a copy of the curriculum, which may then be changed; returns that copy."""
    course = run.path.parent / "course"
    shutil.copytree(kit[1], course)
    run.config.write_text(yaml.safe_dump(tiny.settings(kit[0], course, **sections)))
    return course


def add(file: Path, **row: object) -> None:
    with open(file, "a") as opened:
        opened.write(json.dumps(row) + "\n")


@broken("success-is-earned", 3, "would end with status 0, but 2 of 2 topics did not pass")
def a_run_without_a_pass_is_a_success(run, kit, monkeypatch):
    more = tiny.ask_more(kit[1], run.path.parent / "more")
    configured(run, (kit[0], more), thresholds={"voice": 1.0}, adapters={"strategy": "sft_only"})
    real = pipeline.read_history

    def generous(records):
        history = real(records)
        history.finished = {k: replace(v, verdict="passed") for k, v in history.finished.items()}
        return history

    monkeypatch.setattr(pipeline, "read_history", generous)


@broken("final-model-examined", 3, "1 of 2 topics have no final score of the model")
def the_exam_leaves_a_topic_out(run, kit, monkeypatch):
    run.config.write_text(yaml.safe_dump(settings(kit, "sft")))
    real = exam.evaluate.measure

    def measure(session, topics, stage, *rest, **named):
        return real(session, topics[:1] if stage == "final" else topics, stage, *rest, **named)

    monkeypatch.setattr(exam.evaluate, "measure", measure)


@broken("final-model-examined", 3, "2 of 2 topics have no final score of the model")
def the_model_changes_after_the_exam(run, kit, monkeypatch):
    run.config.write_text(yaml.safe_dump(settings(kit, "sft")))
    real = pipeline.hold_exam

    def hold(session, history):
        real(session, history)
        settle.drop(session, FIRST)

    monkeypatch.setattr(pipeline, "hold_exam", hold)


@broken("success-is-earned", 3, "would end with status 0, but 0 of 2 topics did not pass, and 1 were forgotten")
def a_forgotten_topic_is_a_success(run, kit, monkeypatch):
    run.config.write_text(yaml.safe_dump(settings(kit, "sft")))
    monkeypatch.setattr(decisions, "forgotten", lambda word, found, limits: found.topic == FIRST)
    real = pipeline.read_history

    def blind(records):
        history = real(records)
        history.examined = history.examined and replace(history.examined, forgotten=())
        return history

    monkeypatch.setattr(pipeline, "read_history", blind)


@broken("rows-accounted", 3, "rows were read")
def an_orphan_pair_is_dropped_in_silence(run, kit, monkeypatch):
    course = configured(run, kit)
    add(course / "preferences.jsonl", topic="unit-09/chapter-01/topic-01", prompt="A?", chosen="Aye.", rejected="No.")
    real = curriculum._sort
    monkeypatch.setattr(curriculum, "_sort", lambda *args: (real(*args)[0], [], [], []))


@broken("questions-held-out", 2, "'Who minds the lamp?' is trained on")
def a_question_is_a_training_row(run, kit, monkeypatch):
    course = configured(run, kit)
    add(course / "quiz.jsonl", topic=FIRST, question="Who minds the lamp?", reference="Somebody, surely.")


@broken("gates-reachable", 2, "the references themselves score voice")
def the_references_fail_the_gate(run, kit, monkeypatch):
    course = configured(run, kit, thresholds={"voice": 0.9, "unreachable": "error"})
    (course / "voice.yaml").write_text(yaml.safe_dump(tiny.VOICE | {"avoid": ["saves lives"]}))


@broken("settings-typed", 2, "unknown key; did you mean 'learning_rate'?")
def a_key_is_misspelt(run, kit, monkeypatch):
    configured(run, kit, sft={"lerning_rate": 1e-3})


@broken("lengths-alike", 0, "x as long as chosen ones")
def rejected_answers_are_three_times_as_long(run, kit, monkeypatch):
    course = configured(run, kit, adapters={"strategy": "sft_only"})
    long = "A lamp is a lamp, and it is a lamp, as all lamps are lamps in the end, and no lamp is more. " * 3
    add(
        course / "preferences.jsonl", topic=FIRST, prompt="And then?", chosen="Aye, then.", rejected=long, heldout=False
    )


@broken("resume-exact", 1, "has an optimizer of -1 steps")
def a_checkpoint_holds_weights_only(run, kit, monkeypatch):
    run.config.write_text(yaml.safe_dump(settings(kit, "sft")))
    real = checkpoint.save

    def weights_only(folder, state):
        return real(folder, dataclasses.replace(state, optimizer={}))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", weights_only)
        stopping_after(patch, "save_checkpoint")
        assert engine(run, patch) == 130


@broken("files-whole", 3, "cannot be read")
def a_committed_adapter_is_cut_short(run, kit, monkeypatch):
    stopped_between_topics(run, kit, monkeypatch)
    (adapter,) = run.adapters.glob("*/adapters.safetensors")
    adapter.write_bytes(adapter.read_bytes()[:5000])


@broken("files-whole", 3, "cannot be read")
def the_ledger_was_written_over_and_not_beside(run, kit, monkeypatch):
    stopped_between_topics(run, kit, monkeypatch)
    ledger = run.adapters / "ledger.json"
    ledger.write_bytes(ledger.read_bytes()[:40])


@broken("committed-on-disk", 3, "lacks 1 of the 1 delta that the journal has as committed, among them unit-01")
def the_adapters_are_cleared_away(run, kit, monkeypatch):
    stopped_between_topics(run, kit, monkeypatch)
    shutil.rmtree(run.adapters)


@broken("committed-on-disk", 3, "lacks 1 of the 2 deltas")
def an_older_ledger_is_put_back(run, kit, monkeypatch):
    stopped_between_topics(run, kit, monkeypatch)
    older = (run.adapters / "ledger.json").read_bytes()
    stopped_between_topics(run, kit, monkeypatch, SECOND)
    (run.adapters / "ledger.json").write_bytes(older)


@broken("ledger-declares", 3, "the journal has")
def the_adapters_of_another_run_are_put_there(run, kit, monkeypatch):
    other = RunDir(run.path.with_name("other"))
    other.path.mkdir()
    stopped_between_topics(other, kit, monkeypatch, seed=8)
    stopped_between_topics(run, kit, monkeypatch)
    shutil.rmtree(run.adapters)
    shutil.copytree(other.adapters, run.adapters)


@broken("ledger-has-the-last", 3, "journal and ledger.json have")
def a_run_is_begun_a_second_time_over_its_ledger(run, kit, monkeypatch):
    stopped_between_topics(run, kit, monkeypatch)
    damage_first_line(run)
    monkeypatch.setattr(pipeline, "damaged_lines", lambda run: [])
    monkeypatch.setattr(pipeline, "require_beginning", lambda run, records: None)


def damage_first_line(run: RunDir) -> None:
    """One bad byte."""
    run.journal.write_bytes(b"\xff" + run.journal.read_bytes()[1:])


def stopped_between_topics(
    run: RunDir, kit: tuple, monkeypatch: pytest.MonkeyPatch, topic: str = FIRST, seed: int = 0
) -> None:
    """A run of SFT alone, stopped when the topic is committed."""
    whole = settings(kit, "sft")
    run.config.write_text(yaml.safe_dump(whole | {"run": whole["run"] | {"seed": seed}}))
    with monkeypatch.context() as patch:
        stopping_after(patch, "commit", topic)
        assert engine(run, patch) == 130


def engine(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> int:
    """`python -m engine RUN_DIR` in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["engine", str(run.path)])
    monkeypatch.setattr(program.os, "umask", lambda mask: mask)
    with handlers_kept(), tiny.quick_loading():
        return program.main()


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("fault", fault, ids=lambda fault: fault.name)
def test_a_broken_run_is_caught(fault, kit, unbroken, tmp_path, monkeypatch, record_property):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    fault.prepare(run, kit, monkeypatch)
    before = tiny.Ran(run).adapters() if run.journal.exists() else {}
    assert engine(run, monkeypatch) == fault.status
    ran = tiny.Ran(run)
    panes = screen(run)[1]
    if fault.rule == "lengths-alike":
        assert "warning: " in panes["log"] and fault.words in panes["log"]
    else:
        (failed,) = ran.of(e.Failed)
        assert fault.words in failed.message and fault.words in panes["banner"]
        if fault.status != 2:
            assert failed.rule == fault.rule and f"RULE BROKEN: {fault.rule}" in panes["banner"]
    if fault.rule == "resume-exact":  # and the next topic is as if the first had never been
        assert ran.verdicts() == {FIRST: "error", SECOND: "passed"}
        assert bytes_of(ran, SECOND) == bytes_of(unbroken["sft alone"], SECOND) != []
    elif fault.status in (2, 3):
        assert ran.of(e.RunFinished, exit_status=0) == []
    if fault.status == 2:
        assert ran.of(e.TopicStarted) == [] and ran.adapters() == {}
    if fault.rule == "files-whole":
        assert list(ran.adapters()) == list(before)
    record_property("caught", fault.rule)


@pytest.mark.parametrize("name", ["adapters.safetensors", "ledger.json"])
def test_a_file_that_is_put_back_is_gone_on_with(name, kit, unbroken, tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    stopped_between_topics(run, kit, monkeypatch)
    (file,) = run.adapters.rglob(name)
    copy = file.read_bytes()
    file.write_bytes(copy[: len(copy) // 2])
    assert engine(run, monkeypatch) == 3
    file.write_bytes(copy)
    with open(run.journal, "ab") as journal:
        journal.write(b'{"v": 1, "seq": 9999, "t": 1.0, "ki')  # and a torn line, which is repaired
    assert engine(run, monkeypatch) == 0
    assert tiny.Ran(run).adapters() == unbroken["sft"].adapters()


def test_a_step_that_was_checkpointed_is_not_done_again(kit, unbroken):
    """Rule 27 where nothing is broken: stopped, resumed, and the same bytes as without the stop."""
    assert unbroken["sft resumed"].adapters() == unbroken["sft"].adapters()
    steps = [step.step for step in unbroken["sft resumed"].of(e.Step, topic=SECOND)]
    assert steps == [1, 2]


def test_a_phase_that_is_rolled_back_leaves_nothing_behind(unbroken):
    """Rule 7 where nothing is broken: DPO taken back is DPO that never ran, to the byte."""
    with_it, without = unbroken["dpo rolled back"], unbroken["dpo after sft"]
    assert with_it.of(e.AdapterChanged, topic=FIRST, phase="dpo", state="rolled_back")
    assert list(with_it.adapters().values()) == list(without.adapters().values())
    assert with_it.of(e.RunFinished)[0].fingerprint == without.of(e.RunFinished)[0].fingerprint


def test_an_unbroken_engine_trips_nothing(unbroken):
    for name, committed in (("sft", ["sft"] * 2), ("dpo", ["sft", "dpo"] * 2), ("sft alone", ["sft"])):
        ran = unbroken[name]
        assert ran.of(e.Failed) == []
        assert set(ran.verdicts().values()) == {"passed"} and ran.status == 0
        assert [name.rpartition("-")[2] for name in ran.committed()] == committed
