"""Whole runs of the real engine on a tiny model: what they leave, what stops them; resuming changes no byte."""

import dataclasses
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import tiny
from dying import Killed, die

from engine.adapters import deltas, ledger
from engine.adapters.ledger import Ledger
from engine.contract.journal import events as e
from engine.contract.journal.events import KINDS
from engine.contract.journal.store import read_journal
from engine.contract.run_folder import files
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from engine.contract.settings.config import DpoConfig, SftConfig
from engine.contract.settings.load import load_config
from engine.data.templates.chat_template import Renderer
from engine.evaluation import evaluate, generation
from engine.evaluation.generation import Answer
from engine.model import loading
from engine.pipeline import decisions
from engine.pipeline import run as pipeline
from engine.pipeline.decisions import Decision
from engine.pipeline.setup import read_curriculum
from engine.training import checkpoint, checks
from engine.training.phases import dpo, dpo_reference, settle, sft

FIRST, SECOND = tiny.TOPICS[:2]
FIELDS = {  # of DESIGN.md, section 2: what other programs rely on
    "run_started": "run config seed pid versions",
    "model_loaded": "model parameters dtype device fingerprint seconds",
    "curriculum_loaded": "topics warnings",
    "topic_started": "topic index of",
    "phase_started": "topic phase steps rows supervised_tokens total_tokens",
    "adapter": "topic phase state rank scale modules trainable expected_trainable total base_fingerprint "
    "model_fingerprint delta_norm fuse_cosine fuse_kl ledger_depth",
    "step": "topic phase step of loss lr grad_norm tokens supervised_tokens seconds peak_bytes margin "
    "preference_accuracy chosen_reward rejected_reward chosen_logp rejected_logp",
    "sample": "topic stage question reference answer tokens stop markers violations scores",
    "evaluated": "topic stage accuracy voice combined components preference_accuracy health seconds",
    "decided": "topic decision reason",
    "topic_finished": "topic verdict reason seconds",
    "command_taken": "id command outcome reason",
    "paused": "by",
    "resumed": "by",
    "checkpointed": "topic phase step seconds bytes",
    "restored": "rewind_to why",
    "warned": "key message count",
    "failed": "where message traceback",
    "examined": "topics answers compared changes forgotten fingerprint",
    "run_finished": "passed of exit_status fingerprint seconds",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 2)


@pytest.fixture(scope="module")
def whole(sources, tmp_path_factory) -> Callable[..., tiny.Ran]:
    """Uninterrupted runs by strategy, each made once."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def run(strategy: str = "fuse_between") -> tiny.Ran:
        if strategy not in made:
            config = tiny.settings(*sources, adapters={"strategy": strategy})
            made[strategy] = tiny.train_here(tiny.new_run(folder / strategy, config))
        return made[strategy]

    return run


def check_journal(run: RunDir) -> list[dict]:
    """Every line whole JSON, numbered without a gap, of a known kind, with the fields that the contract names."""
    lines = [json.loads(line) for line in run.journal.read_text(encoding="utf-8").splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    times = [line["t"] for line in lines]
    assert times == sorted(times) and all(line["v"] == 1 for line in lines)
    for line in lines:
        assert line["kind"] in KINDS
        missing = set(FIELDS.get(line["kind"], "").split()) - set(line)
        assert not missing, (line["kind"], missing)
    return lines


@pytest.mark.parametrize("strategy", ["fuse_between", "shared", "sft_only"])
def test_a_whole_run(whole, strategy):
    ran = whole(strategy)
    lines = check_journal(ran.run)
    expected = set(FIELDS) - {"command_taken", "paused", "resumed", "restored", "failed", "warned"}
    assert expected <= {line["kind"] for line in lines}
    assert ran.of(e.Failed) == [] and ran.status == 0
    assert ran.verdicts() == {FIRST: "passed", SECOND: "passed"}

    phases = ["sft"] if strategy == "sft_only" else ["sft", "dpo"]
    for topic in (FIRST, SECOND):
        for name in phases:
            steps = ran.of(e.Step, topic=topic, phase=name)
            assert [step.step for step in steps] == [1, 2] and all(step.of == 2 for step in steps)
        assert sum(step.supervised_tokens for step in ran.of(e.Step, topic=topic, phase="sft")) == (
            2 * ran.of(e.PhaseStarted, topic=topic, phase="sft")[0].supervised_tokens
        )
        assert bool(ran.of(e.Step, topic=topic, phase="dpo")) == ("dpo" in phases)
    commits = {"fuse_between": ["sft", "dpo"] * 2, "shared": ["dpo"] * 2, "sft_only": ["sft"] * 2}[strategy]
    assert [name.rpartition("-")[2] for name in ran.committed()] == commits
    assert [name[:3] for name in ran.committed()] == [f"{i:03d}" for i in range(1, len(commits) + 1)]
    assert list(ran.adapters()) == ran.committed()
    fused = ran.of(e.AdapterChanged, state="fused")
    assert [event.ledger_depth for event in fused] == list(range(1, len(commits) + 1))
    assert all(event.trainable == 0 and event.delta_norm > 0 and event.fuse_cosine > 0.99 for event in fused)
    assert all(event.trainable == event.expected_trainable > 0 for event in ran.of(e.AdapterChanged, state="attached"))
    declared = json.loads((ran.run.adapters / "ledger.json").read_text())["fingerprint"]
    assert ran.of(e.RunFinished)[0].fingerprint == fused[-1].model_fingerprint == declared
    assert not ran.run.checkpoint.exists()
    scored = [event.model_fingerprint for event in ran.of(e.Evaluated) if event.stage in ("sft", "dpo")]
    assert len({*scored, *(event.model_fingerprint for event in ran.of(e.TopicStarted))}) == len(scored) + 2


def test_dpo_starts_at_ln_2_and_raises_the_margin(whole):
    for strategy in ("fuse_between", "shared"):
        for topic in (FIRST, SECOND):
            first, second = whole(strategy).of(e.Step, topic=topic, phase="dpo")
            assert first.loss == pytest.approx(0.693147, abs=1e-3) and first.margin == pytest.approx(0.0, abs=1e-3)
            assert second.margin > first.margin and second.loss < first.loss


def test_an_adapter_is_the_one_that_its_phase_asks_for(sources, tmp_path):
    """Scale, modules and layers, unlike the defaults and each other; and the rewards are of dpo.beta."""
    asked = {
        "sft": {"rank": 4, "alpha": 12, "modules": ["q_proj", "up_proj"], "layers": 1},
        "dpo": {"rank": 2, "alpha": 10, "modules": ["v_proj"], "layers": 2, "beta": 0.3},
    }
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(*sources, **asked)))
    assert ran.status == 0
    for name, wanted in asked.items():
        attached, _ = ran.of(e.AdapterChanged, phase=name, state="attached")
        assert (attached.rank, attached.scale) == (wanted["rank"], wanted["alpha"] / wanted["rank"])
        assert (list(attached.module_names), attached.layers) == (wanted["modules"], wanted["layers"])
        assert attached.modules == len(wanted["modules"]) * wanted["layers"]
    first, second = ran.of(e.Step, topic=FIRST, phase="dpo")  # each of both pairs; the first is the reference's
    for reward, now, then in (
        (second.chosen_reward, second.chosen_logp, first.chosen_logp),
        (second.rejected_reward, second.rejected_logp, first.rejected_logp),
    ):
        assert reward == pytest.approx(0.3 * (now - then), abs=1e-4) and abs(reward) > 1e-2


@pytest.mark.parametrize("kind", [SftConfig, DpoConfig])
def test_a_phase_reads_every_key_of_its_own_section(sources, tmp_path, monkeypatch, kind):
    """Rule 24, of what trains: most keys have the same name in both sections, and one of the two is not enough."""
    phases = ("sft", "dpo", "phase", "settle", "adapter_events", "dpo_reference", "replay", "validation")
    trains = {"engine.training.optimizer", *(f"engine.training.phases.{name}" for name in phases)}
    trains |= {"engine.pipeline.topic", "engine.pipeline.decisions"}
    read = set()

    def reading(self, name):
        if sys._getframe(1).f_globals["__name__"] in trains:
            read.add(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(kind, "__getattribute__", reading, raising=False)
    best = {"keep": "loss", "validate_every": 1, "patience": 9}
    config = tiny.settings(*sources, sft=best, dpo={"when": "gated"} | best, thresholds={"dpo_trigger": 1.0})
    assert tiny.train_here(tiny.new_run(tmp_path / "run", config)).of(e.PhaseStarted, phase="dpo")
    assert {field.name for field in dataclasses.fields(kind)} - read == set()


def test_the_heldout_margin_is_the_reward_of_dpo_over_sft(whole, sources):
    """Computed again from the committed deltas, one answer at a time, with mlx-lm's plain forward pass and NumPy."""
    ran = whole()
    config = load_config(ran.run.config)
    kept = [deltas.load_delta(ran.run.adapters / name, fused=True) for name in ran.committed()]
    (pair,) = (pair for pair in read_curriculum(config).topics[0].heldout)

    def gap(count: int) -> float:
        loaded, total = loading.load(sources[0], "float32"), 0.0
        renderer = Renderer(loaded.tokenizer)
        Ledger(loaded.model, sources[0], mx.float32).restore(loaded.model, kept[:count])
        for sign, answer in ((1, pair.chosen), (-1, pair.rejected)):
            example = renderer.example(pair.messages, answer, config.model.max_length)
            logits = np.array(loaded.model(mx.array([example.ids]))[0], dtype=np.float64)
            logps = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            places = range(example.prompt, len(example.ids))
            total += sign * sum(logps[place - 1, example.ids[place]] for place in places)
        return total

    sft, dpo = (ran.of(e.Evaluated, topic=FIRST, stage=stage)[0] for stage in ("sft", "dpo"))
    assert sft.heldout_gap == pytest.approx(gap(1), abs=1e-3) and sft.heldout_margin is None
    assert dpo.heldout_gap == pytest.approx(gap(2), abs=1e-3)
    assert dpo.heldout_margin == pytest.approx(config.dpo.beta * (gap(2) - gap(1)), abs=1e-3) and dpo.heldout_margin > 0


def test_the_summary_says_what_the_journal_says(whole):
    ran = whole()
    summary = json.loads(ran.run.summary.read_text())
    finished = ran.of(e.RunFinished)[0]
    assert (summary["exit_status"], summary["passed"], summary["of"]) == (0, 2, 2) == (finished.exit_status, 2, 2)
    assert summary["fingerprint"] == finished.fingerprint and list(summary["units"]) == ["unit-01"]
    for row in summary["topics"]:
        after = ran.of(e.Evaluated, topic=row["topic"], stage="dpo")[0]
        assert (row["verdict"], row["sft"], row["dpo"], row["attempts"]) == ("passed", "fused", "fused", 1)
        assert row["at_end"]["voice"] == pytest.approx(after.voice, abs=1e-4)
        assert row["at_end"]["preference_accuracy"] == after.preference_accuracy
        assert [item["decision"] for item in row["decisions"]] == ["keep", "run_dpo", "keep"]
    log = ran.run.log.read_text()
    assert "voice=" in log and "attached" in log and "fused" in log


def test_no_phase_puts_all_its_rows_into_one_batch(sources, tmp_path, monkeypatch):
    """Of a large topic that rectangle, rows x the longest of them, takes gigabytes before the first step."""
    sizes = {sft: [], dpo: []}
    for module, seen in sizes.items():
        real = module.collate
        monkeypatch.setattr(
            module, "collate", lambda rows, *rest, r=real, s=seen: s.append(len(rows)) or r(rows, *rest)
        )
    settings = tiny.settings(*sources, sft={"batch": 1}, dpo={"batch": 1})
    assert tiny.train_here(tiny.new_run(tmp_path / "run", settings)).status == 0
    assert max(sizes[sft]) == 1 and max(sizes[dpo]) == 2, "a pair is two rows"


def test_a_long_scoring_of_the_base_says_how_far_it_is(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "TOLD", 0)
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(*sources, evaluation={"max_tokens": 8})))
    before = ran.of(e.Sample, stage="before")
    said = "scoring the base model on 2 topics, (\\d+) of 2 answers complete, (\\d+) tokens so far"
    told = [
        re.fullmatch(said, event.message)
        for event in ran.of(e.Preparing)
        if event.message.startswith("scoring") and event.progress
    ]
    found = [(int(match[1]), int(match[2])) for match in told]
    assert len(before) == 2 and found[0] == (0, 2)
    assert found == sorted(found) and len(set(found)) == len(found) >= max(sample.tokens for sample in before) - 1
    assert found[-1][1] <= sum(sample.tokens for sample in before)


def test_the_same_run_again_gives_the_same_bytes(whole, sources, tmp_path):
    config = tiny.settings(*sources, adapters={"strategy": "fuse_between"})
    again = tiny.train_here(tiny.new_run(tmp_path / "again", config))
    assert again.adapters() == whole().adapters()
    other = tiny.train_here(tiny.new_run(tmp_path / "other", config | {"run": config["run"] | {"seed": 1}}))
    assert all(other.adapters()[name] != array for name, array in again.adapters().items())


def test_topics_that_do_not_pass_make_a_run_that_failed_and_are_trained_again(sources, tmp_path, monkeypatch):
    """Each retry trains: its own steps, other bytes, and the earlier attempt's deltas gone from the model."""
    course = tiny.ask_more(sources[1], tmp_path / "course")
    config = tiny.settings(sources[0], course, adapters={"strategy": "sft_only"})
    config["thresholds"] |= {"voice": 1.0}
    config["run"] |= {"retries": 2}
    config["curriculum"]["topics"] = [FIRST]
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    check_journal(ran.run)
    assert ran.status == 1 and json.loads(ran.run.summary.read_text())["exit_status"] == 1
    assert [event.verdict for event in ran.of(e.TopicFinished)] == ["below_threshold"] * 3
    assert [event.attempt for event in ran.of(e.TopicStarted)] == [1, 2, 3]
    assert len({event.model_fingerprint for event in ran.of(e.TopicStarted)}) == 1
    steps = ran.of(e.Step)
    assert [step.step for step in steps] == [1, 2] * 3
    assert [item.decision for item in ran.of(e.Decided)].count("retry") == 2
    assert len(set(ran.adapters().values())) == 3 and ran.committed() == list(ran.adapters())[-1:]
    row = json.loads(ran.run.summary.read_text())["topics"][0]
    assert (row["attempts"], row["verdict"]) == (3, "below_threshold")


def test_a_phase_that_does_harm_is_rolled_back(sources, tmp_path, monkeypatch):
    real = generation.generate
    calls = []

    def worse(session, prompts, **more):
        calls.append(len(prompts))
        if len(calls) == 2:  # after the first topic's SFT
            return [Answer("", 0, "eos") for _ in prompts]
        return real(session, prompts, **more)

    monkeypatch.setattr(generation, "generate", worse)
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(*sources)))
    rolled = ran.of(e.AdapterChanged, state="rolled_back")
    assert [(event.topic, event.phase, event.base_unchanged) for event in rolled] == [(FIRST, "sft", True)]
    assert [event.decision for event in ran.of(e.Decided, topic=FIRST)] == ["roll_back", "skip_dpo"]
    started = [event.model_fingerprint for event in ran.of(e.TopicStarted)]
    assert started == [ran.of(e.ModelLoaded)[0].fingerprint] * 2
    assert all(SECOND.replace("/", ".") in name for name in ran.committed()) and len(ran.committed()) == 2


@pytest.mark.parametrize("strategy", ["fuse_between", "shared"])
def test_dpo_that_does_harm_is_taken_back_to_what_sft_had_made(sources, whole, tmp_path, monkeypatch, strategy):
    real = decisions.after_dpo
    monkeypatch.setattr(
        decisions,
        "after_dpo",
        lambda *args: dataclasses.replace(real(*args), decision="roll_back", reason="for the test"),
    )
    config = tiny.settings(*sources, adapters={"strategy": strategy})
    config["curriculum"]["topics"] = [FIRST]
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    assert ran.of(e.Failed) == [] and len(ran.of(e.Step, phase="dpo")) == 2
    assert [name.rpartition("-")[2] for name in ran.committed()] == ["sft"]
    (bytes_of_sft,) = ran.adapters().values()
    assert bytes_of_sft == next(iter(whole("sft_only").adapters().values()))


@pytest.mark.parametrize(
    ("limit", "fates", "without"),
    [
        (1, ["roll_back"], [SECOND, *tiny.TOPICS[2:]]),
        (2, ["roll_back", "keep", "roll_back", "roll_back"], []),  # in a row: one that is kept begins the count again
    ],
)
def test_dpo_is_left_out_after_so_many_roll_backs_in_a_row(sources, tmp_path, monkeypatch, limit, fates, without):
    left = iter(fates)
    monkeypatch.setattr(decisions, "after_phase", lambda *args: Decision("keep", "for the test"))
    monkeypatch.setattr(decisions, "after_dpo", lambda *args: Decision(next(left), "for the test"))
    course = tiny.make_curriculum(tmp_path / "course", 4)
    ran = tiny.train_here(
        tiny.new_run(tmp_path / "run", tiny.settings(sources[0], course, dpo={"give_up_after": limit}))
    )
    skipped = ran.of(e.Decided, decision="skip_dpo")
    assert [event.topic for event in skipped] == without and list(left) == []
    assert all("left out for this run" in event.reason for event in skipped)
    assert [event.topic for event in ran.of(e.PhaseStarted, phase="dpo")] == [
        topic for topic in tiny.TOPICS if topic not in without
    ]


# What a person asks for, in a process of its own.


def wait(process, run: RunDir, kind: type, count: int = 1, **fields) -> e.Event:
    """Waits for the count-th such event; fails when the engine ends first."""
    ran = tiny.Ran(run)
    while True:
        ended = process.poll() is not None
        if len(found := ran.of(kind, **fields)) >= count:
            return found[count - 1]
        assert not ended, run.output.read_text() + run.log.read_text()
        time.sleep(0.02)


def end(process, run: RunDir) -> tiny.Ran:
    status = process.wait(timeout=120)
    check_journal(run)
    return tiny.Ran(run, status)


@pytest.fixture
def started():
    """Starts engines, and ends those that a failed test left."""
    processes = []

    def start(run: RunDir):
        processes.append(tiny.start_engine(run))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_person_pauses_resumes_skips_and_asks_again(sources, tmp_path, started):
    config = tiny.settings(*sources, sft={"epochs": 400, "accumulation": 1})
    run = tiny.new_run(tmp_path / "run", config)
    process = started(run)
    wait(process, run, e.Step, topic=FIRST)
    tiny.ask(run, "p1", "pause")
    paused = wait(process, run, e.Paused)
    assert paused.by == "tester@tty" and holder(run) == process.pid
    at_pause = len(tiny.Ran(run).of(e.Step))
    assert tiny.Ran(run).of(e.Checkpointed)[-1].step == tiny.Ran(run).of(e.Step)[-1].step
    assert (run.checkpoint / checkpoint.STATE).exists()

    tiny.ask(run, "again", "reevaluate", SECOND)
    answer = wait(process, run, e.CommandTaken, id="again")
    assert answer.outcome == "done" and f"adapter of {FIRST} sft after {at_pause} steps" in answer.reason
    tiny.ask(run, "p2", "pause")
    assert wait(process, run, e.CommandTaken, id="p2").outcome == "refused"
    tiny.ask(run, "bad", "skip", "unit-09/chapter-01/topic-01")
    assert "no topic" in wait(process, run, e.CommandTaken, id="bad").reason
    with open(run.commands, "a") as file:
        file.write("not JSON\n")
    assert len(tiny.Ran(run).of(e.Step)) == at_pause  # it stood still

    tiny.ask(run, "r1", "resume")
    wait(process, run, e.Resumed)
    wait(process, run, e.Step, count=at_pause + 2)
    tiny.ask(run, "s1", "skip", FIRST)
    skipped = wait(process, run, e.TopicFinished, topic=FIRST)
    assert skipped.verdict == "skipped" and "tester@tty" in skipped.reason
    tiny.ask(run, "s2", "skip", SECOND)
    ran = end(process, run)
    assert ran.status == 0 and set(ran.verdicts().values()) == {"skipped"}
    assert ran.committed() == [] and ran.of(e.AdapterChanged, state="detached")[0].base_unchanged
    answers = [event.id for event in ran.of(e.CommandTaken)]
    assert len(answers) == len(set(answers)) == 8 and any(id.startswith("line-at-") for id in answers)
    assert ran.of(e.RunFinished)[0].fingerprint == ran.of(e.ModelLoaded)[0].fingerprint
    (again,) = ran.of(e.Evaluated, stage="reevaluated")
    assert again.topic == SECOND


def test_stop_then_resume_gives_the_same_bytes(sources, whole, tmp_path, started):
    run = tiny.new_run(tmp_path / "run", tiny.settings(*sources))
    process = started(run)
    wait(process, run, e.PhaseStarted, topic=FIRST, phase="dpo")
    tiny.ask(run, "stop", "stop")
    stopped = end(process, run)
    assert stopped.status == 130 and stopped.of(e.RunFinished)[-1].exit_status == 130
    assert "stopped by tester@tty" in stopped.of(e.Warned, key="stopped")[0].message
    assert SECOND not in stopped.verdicts()
    ran = end(started(run), run)
    assert ran.status == 0 and ran.of(e.Restored) and ran.adapters() == whole().adapters()
    assert ran.told() == whole().told()
    assert ran.of(e.RunFinished)[-1].fingerprint == whole().of(e.RunFinished)[-1].fingerprint


def test_kill_in_the_middle_of_a_phase_then_resume_gives_the_same_bytes(sources, whole, tmp_path, started):
    run = tiny.new_run(tmp_path / "run", tiny.settings(*sources))
    process = started(run)
    wait(process, run, e.Checkpointed, topic=FIRST, phase="sft", step=1)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and holder(run) is None
    with open(run.journal, "ab") as file:
        file.write(b'{"v": 1, "seq": 99, "kind": "st')  # as a power cut leaves it
    ran = end(started(run), run)
    assert ran.status == 0 and ran.adapters() == whole().adapters() and ran.told() == whole().told()
    assert ran.of(e.Restored)[0].rewind_to <= len(ran.records)
    assert ran.of(e.RunFinished)[-1].fingerprint == whole().of(e.RunFinished)[-1].fingerprint


def test_bad_input_is_a_sentence_and_status_2(sources, tmp_path, started):
    config = tiny.settings(*sources)
    config["sft"]["rnak"] = 3
    run = tiny.new_run(tmp_path / "run", config)
    process = started(run)
    assert process.wait(timeout=60) == 2
    assert "rnak" in run.output.read_text() and "did you mean" in run.output.read_text()
    assert "Traceback" not in run.output.read_text()


# Death at every point that matters, without a process: what stands on the disk then is what a resume begins with.


POINTS = {
    "before a checkpoint": (checkpoint, "save", "before"),
    "after a checkpoint": (checkpoint, "save", "after"),
    "in a checkpoint, half written": (files, "_sync_folder", "before"),
    "after the delta is written": (deltas, "save_delta", "after"),
    "after the fuse": (ledger.Ledger, "fuse", "after"),
    "after the ledger is written, before the journal says so": (ledger.Ledger, "save", "after"),
    "when the phase is closed": (checkpoint, "clear", "before"),
    "after the phase is closed": (settle, "_close", "after"),
    "in an evaluation": (generation, "generate", "before"),
    "after an evaluation": (evaluate, "_summarize", "after"),
    "when SFT has ended": (checks, "trained", "after"),
    "before DPO's reference": (dpo_reference, "measure", "before"),
    "at the verdict": (pipeline, "finish", "before"),
    "between topics": (pipeline, "finish", "after"),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("strategy", "count"), [("fuse_between", 1), ("shared", 2)])
def test_death_at_any_point_changes_no_byte(sources, whole, tmp_path, monkeypatch, strategy, point, count):
    run = tiny.new_run(tmp_path / "run", tiny.settings(*sources, adapters={"strategy": strategy}))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        owner, name, when = POINTS[point]
        die(patch, owner, name, count, before=when == "before")
        tiny.train_here(run)
    ran = tiny.train_here(run)
    check_journal(run)
    assert ran.of(e.Failed) == [] and ran.status == 0
    assert ran.adapters() == whole(strategy).adapters()
    assert ran.committed() == whole(strategy).committed()
    assert ran.of(e.RunFinished)[-1].fingerprint == whole(strategy).of(e.RunFinished)[-1].fingerprint
    assert surviving_steps(run) == surviving_steps(whole(strategy).run)
    assert ran.told() == whole(strategy).told()
    if point == "after a checkpoint":  # it was gone on from: no step was trained twice
        assert f"sft step {count} from its checkpoint" in ran.of(e.Restored)[0].why
        steps = [(step.topic, step.phase, step.step) for step in ran.of(e.Step)]
        assert len(steps) == len(set(steps)) == 8


def surviving_steps(run: RunDir) -> list[tuple]:
    """The steps that count: those of a phase after its last rewind point are void once it was restored."""
    steps: list[tuple[int, e.Step]] = []
    for record in read_journal(run.journal):
        match record.event:
            case e.Step() as step:
                steps.append((record.seq, step))
            case e.Restored(rewind_to=seq):
                steps = [(number, step) for number, step in steps if number <= seq]
    return [(step.topic, step.phase, step.step, step.loss, step.lr) for _, step in steps]


def test_a_run_that_is_over_stays_as_it_is(whole, sources, tmp_path):
    config = tiny.settings(*sources, adapters={"strategy": "sft_only"})
    run = tiny.new_run(tmp_path / "run", config)
    first = tiny.train_here(run)
    bytes_before, steps = first.adapters(), len(first.of(e.Step))
    again = tiny.train_here(run)
    assert again.status == 0 and again.adapters() == bytes_before and len(again.of(e.Step)) == steps
    assert again.of(e.RunFinished)[-1].fingerprint == first.of(e.RunFinished)[0].fingerprint


@pytest.mark.parametrize(("learning_rate", "warned"), [(5e-7, 2), (0.1, 0)])
def test_a_dpo_that_moved_nothing_is_said(sources, tmp_path, learning_rate, warned):
    config = tiny.settings(*sources, dpo={"learning_rate": learning_rate})
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    said = ran.of(e.Warned, key="dpo-still")
    assert len(said) == warned  # once a topic
    if said:
        assert f"{FIRST}: in DPO's 2 steps its own chosen answers have gained " in said[0].message
        assert said[0].message.endswith("nothing in float32; dpo.learning_rate = 5e-07 is too small")
