"""Whatever a person asks for, and whenever an engine dies: journal, ledger, summary and console say the same."""

import json
import random
from typing import Any

import pytest
import tiny
from breaking import FIRST, SECOND
from dying import Killed, died

from engine.adapters.ledger_file import listed_deltas
from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.evaluation import evaluate
from engine.pipeline import decisions
from engine.pipeline import run as pipeline
from engine.pipeline.decisions import Decision
from engine.runtime.history import read_history
from engine.runtime.recorder import Recorder
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report.checks import checks
from mindprint_tui.report.gather import gather

ASKED_AT = e.Step | e.TopicStarted | e.TopicFinished | e.Evaluated | e.AdapterChanged
ASKED_FOR = ("skip", "skip", "retry", "retry", "retry", "reevaluate")


class Fate:
    """What happens to a run, drawn from a seed: topics that fail once, DPO that does harm, requests, deaths.

    A topic fails before it begins, or as a phase of it is scored; the engine may die as that is taken off. Where
    run.pause_on holds, a person may ask for something of that topic, and the engine may die before it has heard it.
    """

    def __init__(self, seed: int, run: RunDir) -> None:
        self.draw, self.run = random.Random(seed), run
        stages = ("begins", "sft", "dpo")
        self.failing = {topic: self.draw.choice(stages) for topic in (FIRST, SECOND) if self.draw.random() < 0.4}
        self.harmful = self.draw.random() < 0.3
        self.deaths = [self.draw.randint(8, 60) for _ in range(self.draw.choice((0, 1, 2)))]
        self.dies_as_it_fails, self.dies_paused = self.draw.random() < 0.4, self.draw.random() < 0.3
        self.said = self.asked = 0
        self.topic = FIRST
        self.last: e.Event | None = None

    def befall(self, patch: pytest.MonkeyPatch) -> None:
        """Brings it about in the engine of this process, which dies as Killed."""
        say, train_topic, score = Recorder.say, pipeline.train_topic, evaluate.evaluate

        def saying(recorder: Recorder, event: e.Event, **more: Any) -> Any:
            found = say(recorder, event, **more)
            self.said += 1
            if isinstance(event, ASKED_AT) and self.asked < 12 and self.draw.random() < 0.25:
                self.ask(self.draw.choice(ASKED_FOR), self.draw.choice((FIRST, FIRST, FIRST, SECOND)))
            if isinstance(event, e.Paused):
                for kind in self.draw.choice(((), ("skip",), ("retry",), ("retry", "skip"))):
                    self.ask(kind, self.topic)
                tiny.ask(self.run, f"resumed-{self.said}-{len(self.deaths)}", "resume")
            self.die_or_not(event)
            return found

        def training(session: Any, topic: Any, before: Any, done: Any) -> Any:
            self.topic = topic.id
            if self.failing.get(topic.id) == "begins" and done.attempt == 1 and not done.settled:
                raise ValueError("only the first time")
            return train_topic(session, topic, before, done)

        def scoring(session: Any, topics: Any, stage: str, *args: Any, **more: Any) -> Any:
            if self.failing.get(topics[0].id) == stage and session.attached.attempt == 1:
                raise ValueError("only the first time")
            return score(session, topics, stage, *args, **more)

        patch.setattr(Recorder, "say", saying)
        patch.setattr(pipeline, "train_topic", training)
        patch.setattr(evaluate, "evaluate", scoring)
        if self.harmful:
            patch.setattr(decisions, "after_dpo", lambda *_: Decision("roll_back", "it did harm"))

    def ask(self, kind: Any, topic: str) -> None:
        self.asked += 1
        tiny.ask(self.run, f"asked-{self.asked}", kind, topic)

    def die_or_not(self, event: e.Event) -> None:
        last, self.last = self.last, event
        if self.deaths and self.said == self.deaths[0]:
            self.deaths.pop(0)
        elif self.dies_as_it_fails and isinstance(last, e.Failed) and isinstance(event, e.AdapterChanged):
            self.dies_as_it_fails = False
        elif self.dies_paused and isinstance(last, e.Paused):
            self.dies_paused = False
        else:
            return
        self.said = 0
        raise Killed


def lived_through(fate: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run to its end, with an engine after each death, as a supervisor starts it."""
    while True:
        try:
            with monkeypatch.context() as patch:
                fate.befall(patch)
                tiny.train_here(fate.run)
            return
        except Killed:
            died(fate.run)


def in_ledger(run: RunDir, topic: str) -> set[str]:
    """The phases of a topic whose deltas the model is made of."""
    return {name.rpartition("-")[2] for name in listed_deltas(run.adapters) if topic.replace("/", ".") in name}


@pytest.mark.parametrize("seed", range(24))
def test_all_say_the_same(kit, tmp_path, monkeypatch, seed: int) -> None:
    draw = random.Random(f"settings {seed}")
    config = tiny.settings(*kit, adapters={"strategy": draw.choice(("sft_only", "shared", "fuse_between"))})
    config["run"] |= {"retries": draw.choice((0, 1)), "pause_on": draw.choice(([], ["collapsed", "failed"]))}
    run = tiny.new_run(tmp_path / "run", config)
    lived_through(Fate(seed, run), monkeypatch)
    state, failed = RunState(), set[str]()
    for record in tiny.Ran(run).records:
        event = record.event
        if (
            isinstance(event, e.CommandTaken)
            and event.command in ("skip", "retry")
            and event.reason != "the run is over"
        ):
            finished = state.topics[event.topic].standing == "finished"
            assert (event.outcome == "done") == (finished == (event.command == "retry")), event
        if isinstance(event, e.TopicStarted) and event.attempt > state.topics[event.topic].attempt:
            topic = state.topics[event.topic]
            assert topic.again or topic.owed, "nobody asked for another attempt, and the run decided on none"
        if isinstance(event, e.Failed) and event.phase:
            failed.add(event.topic)
        if isinstance(event, e.TopicFinished) and event.topic in failed:
            assert event.verdict in ("error", "skipped"), "a phase failed, and the topic has a verdict by its scores"
            failed.remove(event.topic)
        state = fold(state, [record])
    summary = json.loads(run.summary.read_text())
    assert summary["passed"] == state.finished.passed == state.tally.get("passed", 0)
    assert read_history(tiny.Ran(run).records).retries == [id for id, topic in state.topics.items() if topic.again]
    for row in summary["topics"]:
        topic = state.topics[row["topic"]]
        assert row["verdict"] == topic.verdict and row["seconds"] == pytest.approx(topic.seconds, abs=0.06)
        assert {phase for phase in ("sft", "dpo") if row[phase] in e.KEPT} == in_ledger(run, row["topic"])
        assert row["at_end"]["voice"] == pytest.approx(topic.at_end.voice, abs=1e-4)
        assert row["at_end"]["accuracy"] == pytest.approx(topic.at_end.accuracy, abs=1e-4)


def test_the_report_of_a_shared_adapter_whose_dpo_was_undone_finds_nothing_amiss(kit, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(decisions, "after_dpo", lambda *_: Decision("roll_back", "it did harm"))
    config = tiny.settings(*kit, adapters={"strategy": "shared"})
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    states = [event.state for event in ran.of(e.AdapterChanged, topic=FIRST)]
    assert states == ["attached", "attached", "rolled_back", "fused"]
    found = gather(ran.run)
    looked_at = [check for check in checks(found.tally) if check.holds is not None]
    assert len(looked_at) > 20 and all(check.holds for check in looked_at), looked_at
