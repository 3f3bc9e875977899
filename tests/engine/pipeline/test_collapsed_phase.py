"""A phase that wrecks the model is rolled back, its topic is marked, the next one is as if it had never been."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny
from breaking import FIRST, SECOND, Breaker, bytes_of, screen, settings
from dying import Killed, die, died

from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.evaluation import generation
from engine.pipeline import run as pipeline
from engine.training import optimizer
from engine.training.phases import settle

PROGRAM = Path(sys.executable).with_name("mindprint-tui")


def stuck(engine: Breaker, after: str) -> None:
    """Every step of that phase is a hundred times too long, and the answers after it are one word."""

    def broken(real, session, *args, **more):
        answers = real(session, *args, **more)
        if session.attached is None or session.attached.phase != after:
            return answers
        return [dataclasses.replace(answer, text="Aye, aye, aye, aye, aye") for answer in answers]

    def rate(real, *args):
        return real(*args) * (100 if engine.session.attached.phase == after else 1)

    engine.replace(optimizer, "learning_rate", rate)
    engine.replace(generation, "generate", broken)


def test_an_sft_that_wrecks_the_model_is_rolled_back_and_the_topic_marked(kit, unbroken, tmp_path, monkeypatch):
    config = settings((kit[0], tiny.ask_more(kit[1], tmp_path / "course")), "sft")
    config["thresholds"] |= {"voice": 0.5}
    run = tiny.new_run(tmp_path / "run", config)
    stuck(Breaker(monkeypatch, FIRST), "sft")
    ran = tiny.train_here(run)
    assert ran.verdicts() == {FIRST: "not_trained", SECOND: "below_threshold"} and ran.status == 1
    (finished,) = ran.of(e.TopicFinished, topic=FIRST)
    said = "SFT made the answers repetitive and was rolled back, and nothing of the topic is in the model (accuracy "
    assert finished.reason.startswith(said)
    (absent,) = json.loads(run.summary.read_text())["not_in_model"].items()
    assert absent[0] == FIRST and "SFT made the answers repetitive" in absent[1]
    assert [event.decision for event in ran.of(e.Decided, topic=FIRST)] == ["roll_back", "skip_dpo"]
    assert bytes_of(ran, FIRST) == []
    assert bytes_of(ran, SECOND) == bytes_of(unbroken["sft alone"], SECOND) != []
    state, panes = screen(run)
    assert state.topics[FIRST].verdict == "not_trained" and state.topics[FIRST].settled == {"sft": "rolled_back"}
    assert "repetitive" in panes["log"]


def test_a_dpo_that_wrecks_the_model_is_rolled_back_and_sft_stays(kit, unbroken, tmp_path, monkeypatch):
    run = tiny.new_run(tmp_path / "run", settings(kit, "dpo"))
    stuck(Breaker(monkeypatch, FIRST), "dpo")
    ran = tiny.train_here(run)
    assert [event.state for event in ran.of(e.AdapterChanged, topic=FIRST, phase="dpo")] == ["attached", "rolled_back"]
    assert ran.of(e.Decided, topic=FIRST)[-1].reason.startswith("the answers became repetitive")
    assert bytes_of(ran, FIRST) == bytes_of(unbroken["dpo after sft"], FIRST) != []
    assert bytes_of(ran, SECOND) == bytes_of(unbroken["dpo after sft"], SECOND) != []
    assert screen(run)[0].topics[FIRST].settled == {"sft": "fused", "dpo": "rolled_back"}


@pytest.mark.parametrize("word", ["collapsed", "failed"])
def test_a_run_pauses_on_it_and_goes_on_when_a_person_resumes(word, kit, unbroken, tmp_path, monkeypatch):
    config = settings(kit, "sft")
    config["run"] |= {"pause_on": [word]}
    run = tiny.new_run(tmp_path / "run", config)
    engine = Breaker(monkeypatch, FIRST)
    if word == "collapsed":
        stuck(engine, "sft")
    else:
        engine.replace(optimizer.Updater, "apply", lambda real, *args: 1 / 0)
    said: list[str] = []
    person = threading.Thread(target=resume_when_paused, args=(run, said))
    person.start()
    ran = tiny.train_here(run)
    person.join()
    assert said == ["‖ paused by run.pause_on", "done: resumed\n"]
    kinds = [record.event.kind for record in ran.records]
    first = kinds.index("topic_finished")
    assert kinds[first - 1 : first + 3] == ["paused", "topic_finished", "command_taken", "resumed"]
    assert [event.by for event in ran.of(e.Paused)] == ["run.pause_on"]
    assert bytes_of(ran, SECOND) == bytes_of(unbroken["sft alone"], SECOND) != []


def resume_when_paused(run: RunDir, said: list[str]) -> None:
    """What a person at another terminal does: looks until the run is paused, and asks it to go on."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (run.journal.exists() and tiny.Ran(run).of(e.Paused)):
        time.sleep(0.05)
    said.append(screen(run, "alive")[1]["condition"])
    done = subprocess.run(
        [PROGRAM, "ctl", run.name, "resume", "--logs", run.path.parent], capture_output=True, text=True, check=False
    )
    said.append(done.stdout + done.stderr)


def test_a_run_that_is_not_asked_to_pause_does_not(kit, tmp_path, monkeypatch):
    run = tiny.new_run(tmp_path / "run", settings(kit, "sft") | {"run": {"name": "tiny", "pause_on": ["failed"]}})
    stuck(Breaker(monkeypatch, FIRST), "sft")
    assert tiny.train_here(run).of(e.Paused) == []


def resumes(run: RunDir, over: threading.Event, first: tuple[str, str] | None = None) -> None:
    """A person who lets the run go on whenever it says that it is paused, and asks for `first` before that."""
    answered: set[int] = set()
    while not over.wait(0.02):
        for record in tiny.Ran(run).records:
            if isinstance(record.event, e.Paused) and record.seq not in answered:
                answered.add(record.seq)
                if first is not None:
                    tiny.ask(run, f"f{record.seq}", *first)
                tiny.ask(run, f"r{record.seq}", "resume")


def resumed_by_a_person(run: RunDir, first: tuple[str, str] | None = None) -> tiny.Ran:
    """The run to its end, with such a person beside it."""
    over = threading.Event()
    person = threading.Thread(target=resumes, args=(run, over, first))
    person.start()
    try:
        return tiny.train_here(run)
    finally:
        over.set()
        person.join()


def test_a_retry_that_is_asked_for_where_the_run_retries_by_itself_is_that_one(kit, tmp_path, monkeypatch):
    config = settings(kit, "sft")
    config["run"] |= {"pause_on": ["failed"], "retries": 1}
    run = tiny.new_run(tmp_path / "run", config)
    real = pipeline.train_topic

    def train_topic(session, topic, before, done):
        if topic.id == FIRST and done.attempt == 1:
            raise ValueError("only the first time")
        return real(session, topic, before, done)

    monkeypatch.setattr(pipeline, "train_topic", train_topic)
    ran = resumed_by_a_person(run, ("retry", FIRST))
    (taken,) = [taken for taken in ran.of(e.CommandTaken) if taken.command == "retry"]
    assert taken.outcome == "refused" and "is pending" in taken.reason, "it waits for its retry already"
    assert [started.attempt for started in ran.of(e.TopicStarted, topic=FIRST)] == [2]  # the first had not said so yet


DEATHS = {
    "after the roll-back": [(settle, "roll_back", 1)],
    "before the verdict": [(pipeline, "finish", 1, True)],
    "after the verdict": [(pipeline, "finish", 1)],
    "and as the next engine loads": [(pipeline, "finish", 1), (pipeline, "open_session", 1, True)],
}


@pytest.mark.parametrize("after", ["sft", "dpo"])
@pytest.mark.parametrize("deaths", DEATHS.values(), ids=DEATHS)
def test_a_death_around_the_verdict_loses_no_pause(kit, tmp_path, monkeypatch, after, deaths):
    config = settings(kit, after)
    config["run"] |= {"pause_on": ["collapsed"]}
    run = tiny.new_run(tmp_path / "run", config)
    stuck(Breaker(monkeypatch, FIRST), after)
    for death in deaths:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die(patch, *death)
            tiny.train_here(run)
        died(run)
    said = len(tiny.Ran(run).records)
    ran = resumed_by_a_person(run)
    events = [record.event for record in ran.records[said:]]
    assert e.Paused("run.pause_on") in events[: events.index(ran.of(e.TopicStarted, topic=SECOND)[0])]
