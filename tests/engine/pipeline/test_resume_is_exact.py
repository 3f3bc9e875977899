"""Going on exactly: whatever a death left on the disk, the run comes out as if it had never died, or says why not."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import mlx.core as mx
import pytest
import tiny
import yaml
import zoo
from breaking import stopping_after
from check_sums import without_sums
from dying import Killed, asked, die, died

from engine.adapters.ledger import Ledger
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter, read_journal
from engine.contract.run_folder import files
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from engine.evaluation import evaluate
from engine.pipeline import decisions
from engine.pipeline import run as pipeline
from engine.pipeline.decisions import Decision
from engine.rules.enforce import Broken
from engine.runtime import recorder
from engine.runtime.history import read_history
from engine.training import checkpoint
from engine.training.phases import adapter_events, settle, sft
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState

FIRST, SECOND = tiny.TOPICS[:2]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 2)


@pytest.fixture(scope="module")
def config(sources) -> dict:
    """Three SFT steps a topic, so that a checkpoint can lie in the middle, and no DPO."""
    return tiny.settings(*sources, sft={"accumulation": 2, "epochs": 3}, adapters={"strategy": "sft_only"})


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> tiny.Ran:
    return tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("whole") / "run", config))


@pytest.fixture
def killed(config, tmp_path, monkeypatch) -> RunDir:
    """A run that died after the second of its three steps, with a checkpoint of it."""
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, checkpoint, "save", 2)
        tiny.train_here(run)
    return run


# What a SIGKILL can leave of a checkpoint.


def between_two_renames(run: RunDir) -> None:
    run.checkpoint.rename(run.path / ".checkpoint.old")
    shutil.copytree(run.path / ".checkpoint.old", run.path / ".checkpoint.4711")


def while_it_was_written(run: RunDir) -> None:
    (run.path / ".checkpoint.4711").mkdir()
    (run.path / ".checkpoint.4711" / checkpoint.ARRAYS).write_bytes(b"half")
    (run.path / ".summary.json.4711").write_text("{")


def before_the_older_one_was_gone(run: RunDir) -> None:
    (run.path / ".checkpoint.old").mkdir()
    (run.path / ".checkpoint.old" / checkpoint.STATE).write_text("{}")


@pytest.mark.parametrize("left", [between_two_renames, while_it_was_written, before_the_older_one_was_gone])
def test_a_checkpoint_survives_the_death_of_its_writer(killed, whole, left: Callable[[RunDir], None]):
    left(killed)
    ran = tiny.train_here(killed)
    assert "goes on at sft step 2 from its checkpoint" in ran.of(e.Restored)[0].why
    assert ran.adapters() == whole.adapters() and ran.told() == whole.told()
    assert [path.name for path in killed.path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("file", [checkpoint.ARRAYS, checkpoint.STATE])
def test_a_checkpoint_that_cannot_be_read_costs_its_phase_and_no_more(killed, whole, file):
    path = killed.checkpoint / file
    path.write_bytes(path.read_bytes()[:40])
    ran = tiny.train_here(killed)
    assert "cannot be read" in ran.of(e.Warned, key="checkpoint")[0].message
    assert ran.adapters() == whole.adapters() and ran.told() == whole.told()


def test_removing_a_checkpoint_leaves_it_whole_or_not_there(killed, monkeypatch):
    monkeypatch.setattr(files.shutil, "rmtree", lambda *args, **kwargs: None)  # killed before it did anything
    checkpoint.clear(killed.checkpoint)
    assert checkpoint.load(killed.checkpoint) is None
    monkeypatch.undo()
    files.recover_folder(killed.path)
    assert [path.name for path in killed.path.iterdir() if "checkpoint" in path.name] == []


def test_a_folder_that_could_not_be_replaced_is_the_old_one(tmp_path, monkeypatch):
    place = tmp_path / "place"
    files.write_folder(place, lambda into: (into / "a").write_text("old"))
    real, calls = Path.replace, []

    def failing(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("no")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="no"):
        files.write_folder(place, lambda into: (into / "a").write_text("new"))
    assert (place / "a").read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["place"]


def test_an_old_folder_that_could_not_be_taken_away_is_in_nobodys_way(tmp_path):
    place, old = tmp_path / "place", tmp_path / ".place.old"
    for text in ("first", "second"):
        files.write_folder(place, lambda into, text=text: (into / "a").write_text(text))
        old.mkdir()
        (old / ".DS_Store").write_text("written while the folder was taken away")
    files.write_folder(place, lambda into: (into / "a").write_text("third"))
    assert (place / "a").read_text() == "third" and not old.exists()


def test_the_checkpoint_holds_all_that_the_next_step_depends_on(killed):
    saved = checkpoint.load(killed.checkpoint)
    assert (saved.topic, saved.phase, saved.attempt, saved.step) == (FIRST, "sft", 1, 2)
    assert saved.adapter and {"step", "learning_rate"} <= set(saved.optimizer)
    assert int(saved.optimizer["step"].item()) == 2 and saved.model
    mx.random.seed(saved.rng)
    assert checkpoint.random_state() == saved.rng
    state = json.loads((killed.checkpoint / checkpoint.STATE).read_text())
    assert set(state) == {
        "topic",
        "attempt",
        "phase",
        "seed",
        "step",
        "rng",
        "refused",
        "seq",
        "model",
        "run",
        "digest",
        "measures",
        "best_digest",
    }


def test_random_numbers_go_on_where_they_were():
    mx.random.seed(11)
    mx.random.uniform(shape=(3,))
    state, expected = checkpoint.random_state(), mx.random.uniform(shape=(3,)).tolist()
    mx.random.seed(5)
    mx.random.seed(state)
    assert mx.random.uniform(shape=(3,)).tolist() == expected


def test_a_shared_sft_whose_dpo_was_rolled_back_is_made_again_and_decided_once(sources, tmp_path, monkeypatch):
    """A death after the roll-back of DPO and before the commit of SFT, which has no checkpoint of its own by then."""
    config = tiny.settings(*sources, adapters={"strategy": "shared"})
    monkeypatch.setattr(decisions, "after_dpo", lambda *args: Decision("roll_back", "for the test"))
    peace = tiny.train_here(tiny.new_run(tmp_path / "peace", config))
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, adapter_events, "announce", 3)
        tiny.train_here(run)
    died(run)
    ran = tiny.train_here(run)
    assert [event.state for event in ran.of(e.AdapterChanged, topic=FIRST)][2:] == ["rolled_back", "attached", "fused"]
    assert ran.adapters() == peace.adapters() and ran.told() == peace.told()


# A phase that failed has failed, whatever its engine lived to say of it.


def failing(patch: pytest.MonkeyPatch, after: str) -> None:
    """What is scored after that phase of a first attempt fails."""
    real = evaluate.evaluate

    def broken(session, topics, stage, *args, **more):
        if stage == after and session.attached.attempt == 1:
            raise ValueError("the embedder has no such word")
        return real(session, topics, stage, *args, **more)

    patch.setattr(evaluate, "evaluate", broken)


@pytest.mark.parametrize(("strategy", "after"), [("fuse_between", "sft"), ("fuse_between", "dpo"), ("shared", "dpo")])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_death_after_a_failure_makes_no_verdict_of_it(sources, tmp_path, monkeypatch, strategy, after, retries):
    config = tiny.settings(*sources, adapters={"strategy": strategy})
    config["run"] |= {"retries": retries}
    config["curriculum"]["topics"] = [FIRST]
    failing(monkeypatch, after)
    peace = tiny.train_here(tiny.new_run(tmp_path / "peace", config))
    assert [event.verdict for event in peace.of(e.TopicFinished)] == ["error", "passed"][: 1 + retries]
    for number, death in enumerate(
        [(settle, "roll_back", 1, True), (settle, "roll_back", 1), (pipeline, "finish", 1, True)]
    ):
        run = tiny.new_run(tmp_path / f"run-{number}", config)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die(patch, *death)
            tiny.train_here(run)
        died(run)
        ran = tiny.train_here(run)
        assert [(event.verdict, event.reason) for event in ran.of(e.TopicFinished)] == [
            (event.verdict, event.reason) for event in peace.of(e.TopicFinished)
        ]
        assert ran.status == peace.status and ran.adapters() == peace.adapters()
        assert ran.committed() == peace.committed() and len(ran.of(e.Step)) == len(peace.of(e.Step))
        assert [path.name for path in run.path.iterdir() if "checkpoint" in path.name] == [] or not number
        if number:  # else the roll-back itself has no line
            assert ran.told() == peace.told()


def test_a_skipped_topic_leaves_no_checkpoint_to_stand_for_the_steps_of_another(killed, monkeypatch):
    monkeypatch.setattr(pipeline, "train_topic", lambda *args: ("passed", "as it was before"))
    tiny.ask(killed, "s1", "skip", FIRST)
    ran = tiny.train_here(killed)
    assert ran.verdicts() == {FIRST: "skipped", SECOND: "error"}
    assert [failed.rule for failed in ran.of(e.Failed)] == ["attempt-has-steps"]


# An earlier end.


def test_a_run_that_goes_on_has_no_summary_of_an_earlier_end(config, whole, tmp_path, monkeypatch):
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch:
        stopping_after(patch, "save_checkpoint")
        assert tiny.train_here(run).status == 130
    told = run.summary.read_bytes()
    run.config.write_text(yaml.safe_dump(config | {"sft": config["sft"] | {"rank": 8}}))
    with pytest.raises(InputError):
        tiny.train_here(run)
    assert run.summary.read_bytes() == told, "it has not gone on"
    run.config.write_text(yaml.safe_dump(config))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, checkpoint, "save", 1)
        tiny.train_here(run)
    assert not run.summary.exists()
    assert tiny.train_here(run).told() == whole.told()


# Retries, pauses and stops outlive the engine that took them.


@pytest.fixture(scope="module")
def retried(config, sources, tmp_path_factory) -> tuple[dict, tiny.Ran]:
    """One topic that does not pass and is trained twice."""
    course = tiny.ask_more(sources[1], tmp_path_factory.mktemp("more") / "course")
    settings = config | {"thresholds": config["thresholds"] | {"voice": 1.0}}
    settings |= {"run": config["run"] | {"retries": 1}, "curriculum": {"path": str(course), "topics": [FIRST]}}
    return settings, tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("retried") / "run", settings))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "count"), [(pipeline, "finish", 1), (Ledger, "save", 2), (pipeline, "finish", 2)]
)
def test_a_death_around_a_verdict_loses_no_retry_and_adds_none(
    retried, tmp_path, monkeypatch, owner, name, count, before
):
    settings, expected = retried
    run = tiny.new_run(tmp_path / "run", settings)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, owner, name, count, before)
        tiny.train_here(run)
    ran = tiny.train_here(run)
    assert [event.attempt for event in ran.of(e.TopicStarted)] == [1, 2]
    assert ran.adapters() == expected.adapters() and ran.committed() == expected.committed()
    assert ran.told() == expected.told()


def test_a_death_in_the_second_attempt_on_a_quantized_base_is_gone_on_from(retried, tmp_path, monkeypatch):
    """Nothing is committed then, and the model has to be the packed one that a new engine loads."""
    settings = retried[0] | {"model": retried[0]["model"] | {"name": str(zoo.make("llama", tmp_path / "packed", 4))}}
    expected = tiny.train_here(tiny.new_run(tmp_path / "whole", settings))
    run = tiny.new_run(tmp_path / "run", settings)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, Ledger, "save", 2)
        tiny.train_here(run)
    ran = tiny.train_here(run)
    assert ran.status == expected.status == 1 and ran.verdicts() == expected.verdicts()
    assert ran.adapters() == expected.adapters() and ran.told() == expected.told()


def test_a_run_that_died_while_it_was_paused_is_paused_when_it_is_started_again(killed, whole):
    asked(killed, e.Paused("tester@tty"))
    died(killed)
    tiny.ask(killed, "r1", "resume")
    ran = tiny.train_here(killed)
    kinds = [record.event.kind for record in ran.records]
    assert kinds.count("paused") == 2 and ran.of(e.Paused)[1].by == "tester@tty"
    assert ran.of(e.CommandTaken, id="r1")[0].outcome == "done" and ran.of(e.Resumed)
    assert ran.of(e.EngineRestarted)[0].signal == "SIGKILL"
    assert ran.adapters() == whole.adapters()


def test_a_person_who_resumes_a_run_that_was_paused_wants_it_to_go_on(killed):
    asked(killed, e.Paused("tester@tty"))
    ran = tiny.train_here(killed)
    assert len(ran.of(e.Paused)) == 1 and ran.status == 0


def test_a_stop_that_the_engine_did_not_live_to_carry_out_is_carried_out(killed, whole):
    asked(killed, e.CommandTaken("s1", "stop", "done", "stopping with a checkpoint"))
    died(killed)
    ran = tiny.train_here(killed)
    assert ran.status == 130 and ran.of(e.RunFinished)[0].exit_status == 130
    ran = tiny.train_here(killed)  # and a person may still go on from there
    assert ran.status == 0 and ran.adapters() == whole.adapters()


def test_a_stop_that_was_asked_while_nobody_was_there_does_not_end_who_resumes(killed, whole):
    for number, kind in enumerate(("stop", "pause")):
        tiny.ask(killed, f"c{number}", kind)
    ran = tiny.train_here(killed)
    assert [(event.id, event.outcome) for event in ran.of(e.CommandTaken)] == [("c0", "refused"), ("c1", "refused")]
    assert ran.status == 0 and ran.of(e.Paused) == [] and ran.adapters() == whole.adapters()


def test_a_stop_that_is_asked_between_two_engines_ends_the_run(sources, tmp_path):
    settings = tiny.settings(*sources, sft={"epochs": 4000, "accumulation": 1})
    run = tiny.new_run(tmp_path / "run", settings)
    process = tiny.start_engine(run, "engine.supervise")
    ran = tiny.Ran(run)
    while not (run.journal.exists() and ran.of(e.Step)):
        assert process.poll() is None, run.output.read_text()
        time.sleep(0.05)
    os.kill(holder(run), signal.SIGKILL)
    tiny.ask(run, "s1", "stop")
    assert process.wait() == 130
    assert ran.of(e.CommandTaken, id="s1")[0].outcome == "done" and len(ran.of(e.EngineRestarted)) == 1


def test_a_run_that_died_before_its_first_event_begins(config, tmp_path, whole):
    run = tiny.new_run(tmp_path / "run", config)
    died(run)
    ran = tiny.train_here(run)
    assert ran.status == 0 and ran.adapters() == whole.adapters() and ran.told() == whole.told()


# Memory as the reason.


def test_after_a_death_for_lack_of_memory_each_step_sees_the_same_rows_in_smaller_pieces(
    sources, tmp_path, monkeypatch
):
    config = tiny.settings(*sources)
    config["curriculum"]["topics"] = [FIRST]
    expected = tiny.train_here(tiny.new_run(tmp_path / "whole", config))
    run = tiny.new_run(tmp_path / "run", config)
    asked(run, e.EngineDied(None, "SIGKILL", 1, e.OUT_OF_MEMORY))
    sizes = []
    real = sft.accumulate

    def watched(model, loss, batches, count):
        sizes.append([sum(batch.size for (batch,) in parts) for parts in batches])
        return real(model, loss, batches, count)

    monkeypatch.setattr(sft, "accumulate", watched)
    ran = tiny.train_here(run)
    assert "worked on in 2 pieces" in ran.of(e.Warned, key="out-of-memory")[0].message
    assert [size for step in sizes for size in step] == [1] * 6  # of two, one, two and one rows
    for one, other in zip(ran.of(e.Step), expected.of(e.Step), strict=True):
        assert (one.phase, one.step, one.tokens, one.supervised_tokens) == (
            other.phase,
            other.step,
            other.tokens,
            other.supervised_tokens,
        )
        assert one.loss == pytest.approx(other.loss, abs=1e-4)
    assert ran.status == 0 and ran.verdicts() == expected.verdicts()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[metal::malloc] Attempting to allocate 9 bytes")])
def test_no_memory_ends_the_engine_and_not_the_topic(config, tmp_path, monkeypatch, error):
    def full(*args: object) -> None:
        raise error

    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch:
        patch.setattr(sft, "accumulate", full)
        with pytest.raises(type(error)):
            tiny.train_here(run)
    assert tiny.Ran(run).of(e.TopicFinished) == [] and tiny.Ran(run).of(e.Failed) == []


# What a run does not go on with.


def test_another_setting_is_refused_by_name(killed, config):
    killed.config.write_text(yaml.safe_dump(config | {"sft": config["sft"] | {"rank": 8}}))
    with pytest.raises(InputError, match=r"sft\.rank: found 8, but the run began with 4"):
        tiny.train_here(killed)
    killed.config.write_text(yaml.safe_dump(config))
    assert tiny.train_here(killed).status == 0


def test_settings_that_decide_nothing_of_what_is_trained_may_change_and_are_told(killed, config, whole):
    changed = config | {"thresholds": config["thresholds"] | {"dpo_trigger": 0.9}}
    killed.config.write_text(yaml.safe_dump(changed))
    ran = tiny.train_here(killed)
    (told,) = ran.of(e.EngineRestarted)
    assert (
        told.settings["thresholds"]["dpo_trigger"]
        == 0.9
        != ran.of(e.RunStarted)[0].settings["thresholds"]["dpo_trigger"]
    )
    assert told.settings["sft"] == ran.of(e.RunStarted)[0].settings["sft"]
    assert fold(RunState(), ran.records).settings("thresholds")["dpo_trigger"] == 0.9
    assert ran.adapters() == whole.adapters()


def test_another_base_model_is_refused(killed, config, tmp_path):
    other = tiny.make_model(tmp_path / "other", seed=8)
    killed.config.write_text(yaml.safe_dump(config | {"model": config["model"] | {"name": str(other)}}))
    with pytest.raises(Broken, match="the run began on"):
        tiny.train_here(killed)


def test_a_topic_took_as_long_as_all_engines_worked_on_it(killed):
    lines = [json.loads(line) for line in without_sums(killed.journal.read_bytes()).splitlines()]
    start = next(line["seq"] for line in lines if line["kind"] == "topic_started")
    earlier = [line | {"t": line["t"] - 3_000 * (line["seq"] <= start)} for line in lines]
    killed.journal.write_text("".join(json.dumps(line) + "\n" for line in earlier))
    first, second = tiny.train_here(killed).of(e.TopicFinished)
    assert first.seconds > 3_000 > second.seconds


def test_more_layers_than_the_model_has_are_refused_before_a_run_begins(config, killed, whole, tmp_path):
    wide = config | {"sft": config["sft"] | {"layers": 3}}
    with pytest.raises(InputError, match=r"sft\.layers: found 3, but the model has 2; 0 is all of them"):
        tiny.train_here(tiny.new_run(tmp_path / "new", wide))
    lines = [
        json.loads(line) for line in without_sums(killed.journal.read_bytes()).splitlines()
    ]  # as an older engine began it
    next(line for line in lines if line["kind"] == "run_started")["settings"]["sft"]["layers"] = 3
    killed.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    killed.config.write_text(yaml.safe_dump(wide))
    assert tiny.train_here(killed).adapters() == whole.adapters()


def told(*events: tuple[float, e.Event]) -> list[e.Record]:
    return [e.Record(seq, t, event) for seq, (t, event) in enumerate(events)]


REFUSED = e.Failed("input", "config.yaml: no", "")
BY_HAND = e.EngineRestarted(None, None, 1)


@pytest.mark.parametrize(
    "end", [e.RunFinished(0, 2, 130, "", 30.0), e.Failed("disk", "full", ""), e.TopicStarted(FIRST, 1, 2, 1)]
)
def test_time_without_an_engine_is_no_work(end):
    began = e.TopicStarted(FIRST, 1, 2, 1)
    history = read_history(told((0, began), (30, end), (90_000, REFUSED), (180_000, BY_HAND), (180_020, began)))
    assert history.seconds == history.topics[FIRST].seconds == 50


@pytest.mark.parametrize(
    ("end", "seconds", "waited"),
    [
        (e.RunFinished(0, 2, 130, "", 30.0), 70, 27),
        (e.Failed("disk", "full", ""), 70, 27),
        (e.EngineDied(None, "SIGKILL", 1), 50, 7),  # nobody knows when
    ],
)
def test_a_pause_ends_with_the_engine_that_was_paused(end, seconds, waited):
    """Whatever is refused days later is no part of it; and the console counts the same work."""
    began, paused, later = e.TopicStarted(FIRST, 1, 2, 1), e.Paused("me"), e.Preparing("x")
    stopped = told((100, began), (110, paused), (130, end), (90_000, REFUSED))
    resumed = [(180_000, BY_HAND), (180_020, began), (180_025, paused), (180_032, e.Resumed("me")), (180_040, later)]
    records = [*stopped, *(e.Record(len(stopped) + n, t, event) for n, (t, event) in enumerate(resumed))]
    history = read_history(records)
    assert (history.seconds, history.waited) == (seconds, waited)
    assert fold(RunState(), records).work.at(180_040) == seconds - waited


def test_what_was_asked_before_three_deaths_does_not_hold_for_the_person_who_resumes():
    stop = e.CommandTaken("1", "stop", "done", "")
    died = e.EngineDied(None, "SIGKILL", 3)
    again = e.EngineRestarted(None, "SIGKILL", 3)
    assert read_history(told((0, stop), (1, died), (2, again))).stopping
    history = read_history(told((0, stop), (1, died), (2, e.Failed("engine", "died 3 times at the same place", ""))))
    assert not history.stopping and history.died is None


# A clock that is set back.


def backwards() -> Iterator[float]:
    """A minute back every fourth event, and an hour in the middle."""
    now = 1_700_000_000.0
    for count in range(10_000):
        now += 0.5 - 60 * (count % 4 == 3) - 3600 * (count == 30)
        yield now


def test_a_clock_that_jumps_backwards_changes_nothing_but_the_times(config, tmp_path, monkeypatch, whole):
    ticks = backwards()
    monkeypatch.setattr(recorder, "JournalWriter", partial(JournalWriter, clock=lambda: next(ticks)))
    monkeypatch.setattr("time.time", lambda: next(ticks))
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, checkpoint, "save", 2)
        tiny.train_here(run)
    ran = tiny.train_here(run)
    records = read_journal(run.journal)
    times = [record.t for record in records]
    assert times != sorted(times) and [record.seq for record in records] == list(range(len(records)))
    assert ran.status == 0 and ran.adapters() == whole.adapters() and ran.told() == whole.told()
    assert 0 < ran.of(e.RunFinished)[0].seconds < 600
    assert all(event.seconds >= 0 for kind in (e.Step, e.Evaluated, e.TopicFinished) for event in ran.of(kind))
    assert 0 <= read_history(records).seconds < 600
