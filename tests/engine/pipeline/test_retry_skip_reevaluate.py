"""What a person asks for while topics are trained: a retry, a retry that is taken back, a re-evaluation that fails."""

import json
import math

import pytest
import tiny
from breaking import FIRST, SECOND, screen, settings
from dying import Killed, die, died
from msgspec.structs import replace

from engine.adapters.ledger import Ledger
from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.evaluation import evaluate
from engine.pipeline import run as pipeline
from engine.runtime.recorder import Recorder
from engine.training.phases import phase

RETRY = (("retry", FIRST),)


@pytest.fixture
def run(kit, tmp_path) -> RunDir:
    return tiny.new_run(tmp_path / "run", settings(kit, "dpo"))


@pytest.fixture(scope="module")
def retried(kit, tmp_path_factory) -> tiny.Ran:
    """The first topic trained again after the second one, and no death."""
    with pytest.MonkeyPatch.context() as patch:
        asking(patch, SECOND, *RETRY)
        return tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("retried") / "run", settings(kit, "dpo")))


def asking(patch: pytest.MonkeyPatch, topic: str, *asked: tuple[str, str]) -> None:
    """A person asks for these things, in this order, as the first attempt at that topic begins."""
    real = pipeline._attempt

    def attempt(session, history, subject, done):
        if subject.id == topic and done.attempt == 1:
            for number, (kind, about) in enumerate(asked):
                tiny.ask(session.run, f"c{number}", kind, about)
        return real(session, history, subject, done)

    patch.setattr(pipeline, "_attempt", attempt)


@pytest.mark.parametrize("where", ["sft", "dpo"])
def test_a_pause_and_a_stop_leave_a_checkpoint_where_they_were_asked_for(kit, tmp_path, monkeypatch, where):
    """Six steps a phase, a checkpoint every fourth; in one phase a pause after the third step, a stop after the fifth.

    It goes on from there: no step is trained twice, and no byte is another.
    """
    asked = {3: ("pause", "resume"), 5: ("stop",)}
    config = tiny.settings(*kit, sft={"epochs": 3, "accumulation": 1}, dpo={"steps": 6}, run={"checkpoint_every": 4})
    config["curriculum"]["topics"] = [FIRST]
    peace, run = (tiny.new_run(tmp_path / name, config) for name in ("peace", "run"))
    real = phase.note_update

    def note(session, attached, *rest):
        real(session, attached, *rest)
        for kind in asked.get(attached.step, ()) if attached.phase == where else ():
            tiny.ask(run, kind, kind)

    with monkeypatch.context() as patch:
        patch.setattr(phase, "note_update", note)
        assert tiny.train_here(run).status == 130
    ran, whole = tiny.train_here(run), tiny.train_here(peace)
    for name in ("sft", "dpo"):
        saved = [event.step for event in ran.of(e.Checkpointed, phase=name)]
        assert saved == ([3, 4, 5, 6] if name == where else [4, 6])
        assert [step.step for step in ran.of(e.Step, phase=name)] == [1, 2, 3, 4, 5, 6]
    assert ran.status == 0 and ran.adapters() == whole.adapters() and ran.told() == whole.told()


def test_a_retry_that_is_skipped_leaves_the_topic_as_it_was(run, unbroken, monkeypatch):
    asking(monkeypatch, SECOND, *RETRY, ("skip", FIRST), ("skip", FIRST))
    ran = tiny.train_here(run)
    assert [answer.outcome for answer in ran.of(e.CommandTaken)] == ["done", "done", "refused"]
    assert "its verdict and what it has learned stay" in ran.of(e.CommandTaken)[1].reason
    peace = unbroken["dpo"]
    assert len(ran.of(e.TopicFinished)) == 2 and ran.status == 0
    assert ran.committed() == peace.committed() and ran.adapters() == peace.adapters()
    assert ran.told() == peace.told()


def test_a_retry_that_a_death_lies_behind_is_taken_back_all_the_same(run, unbroken, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        asking(patch, SECOND, *RETRY, ("skip", FIRST))
        die(patch, pipeline, "finish", 2)
        tiny.train_here(run)
    ran = tiny.train_here(run)
    assert ran.told() == unbroken["dpo"].told() and ran.committed() == unbroken["dpo"].committed()


def test_the_journal_says_what_a_retry_takes_out_of_the_model(retried):
    dropped = retried.of(e.AdapterChanged, topic=FIRST, state="rolled_back")
    again = retried.of(e.TopicStarted, attempt=2)[0]
    assert [(event.phase, event.ledger_depth, event.rank) for event in dropped] == [("sft", 2, 4), ("dpo", 2, 2)]
    assert {event.model_fingerprint for event in dropped} == {again.model_fingerprint}
    events = [record.event for record in retried.records]
    assert events.index(retried.of(e.TopicFinished, topic=SECOND)[0]) < events.index(dropped[0])
    assert events.index(dropped[-1]) < events.index(again)
    assert retried.run.log.read_text().count(f"adapter rolled back phase=sft topic={FIRST}") == 1
    assert [name[:3] for name in retried.committed()] == ["003", "004", "005", "006"]
    assert [name[:3] for name in retried.adapters()] == ["001", "002", "003", "004", "005", "006"]


def before_the_ledger_is_written(patch):
    die(patch, Ledger, "save", 5, before=True)


def after_the_ledger_is_written(patch):
    die(patch, Ledger, "save", 5)


def before_the_topic_begins(patch):
    die(patch, pipeline, "train_topic", 3, before=True)


def when_the_journal_has_said_half_of_it(patch):
    real = Recorder.say

    def say(self, event, **settings):
        found = real(self, event, **settings)
        if isinstance(event, e.AdapterChanged) and event.state == "rolled_back":
            raise Killed
        return found

    patch.setattr(Recorder, "say", say)


DEATHS = [
    when_the_journal_has_said_half_of_it,
    before_the_ledger_is_written,
    after_the_ledger_is_written,
    before_the_topic_begins,
]


def killed(run: RunDir, monkeypatch: pytest.MonkeyPatch, death) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        asking(patch, SECOND, *RETRY)
        death(patch)
        tiny.train_here(run)


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_while_a_retry_begins_changes_no_byte(run, retried, monkeypatch, death):
    killed(run, monkeypatch, death)
    ran = tiny.train_here(run)
    assert ran.adapters() == retried.adapters() and ran.committed() == retried.committed()
    assert ran.told() == retried.told() and ran.status == 0
    assert [event.attempt for event in ran.of(e.TopicStarted, topic=FIRST)] == [1, 2]


@pytest.mark.parametrize("death", DEATHS)
def test_a_retry_that_has_begun_cannot_be_taken_back_and_no_score_outlives_its_training(
    run, unbroken, monkeypatch, death
):
    killed(run, monkeypatch, death)
    tiny.ask(run, "late", "skip", FIRST)
    ran = tiny.train_here(run)
    row = json.loads(run.summary.read_text())["topics"][0]
    assert (row["verdict"], row["sft"], row["dpo"]) == ("skipped", "rolled_back", "rolled_back")
    assert row["at_end"] == row["before"] != row["after_dpo"]
    assert ran.committed() == unbroken["dpo"].committed()[2:] and ran.status == 0


# A retry that the run itself owes, while run.pause_on holds.


@pytest.fixture
def owing(kit, tmp_path, monkeypatch) -> RunDir:
    """A run whose first topic fails once, when its phases are committed; it is paused then, and owes a retry."""
    config = settings(kit, "dpo")
    config["run"] |= {"retries": 1, "pause_on": ["failed"]}
    real = pipeline.train_topic

    def train_topic(session, topic, before, done):
        verdict = real(session, topic, before, done)
        if topic.id == FIRST and done.attempt == 1:
            raise ValueError("only the first time")
        return verdict

    monkeypatch.setattr(pipeline, "train_topic", train_topic)
    return tiny.new_run(tmp_path / "run", config)


def when_paused(patch: pytest.MonkeyPatch, run: RunDir, *asked: str) -> None:
    """A person asks for these things, in this order, of the first topic or of the run, as it pauses."""
    real = Recorder.say

    def say(self, event, **more):
        found = real(self, event, **more)
        if isinstance(event, e.Paused):
            for number, kind in enumerate(asked):
                tiny.ask(run, f"c{number}", kind, FIRST if kind in ("skip", "retry") else None)
        return found

    patch.setattr(Recorder, "say", say)


def attempts(ran: tiny.Ran) -> list[int]:
    return [event.attempt for event in ran.of(e.TopicStarted, topic=FIRST)]


@pytest.mark.parametrize("asked", [("skip", "resume"), ("retry", "skip", "resume")])
def test_a_retry_that_is_owed_is_taken_back_and_the_topic_stays_as_it_was(owing, unbroken, monkeypatch, asked):
    when_paused(monkeypatch, owing, *asked)
    ran = tiny.train_here(owing)
    answers = {answer.command: (answer.outcome, answer.reason) for answer in ran.of(e.CommandTaken)}
    assert answers["skip"][0] == "done" and "its verdict and what it has learned stay" in answers["skip"][1]
    assert answers.get("retry", ("refused",))[0] == "refused"
    assert attempts(ran) == [1] and ran.verdicts() == {FIRST: "error", SECOND: "passed"}
    assert ran.adapters() == unbroken["dpo"].adapters() and ran.committed() == unbroken["dpo"].committed()


def test_a_retry_that_is_owed_and_asked_for_is_one_also_where_the_run_is_stopped_between(owing, monkeypatch):
    with monkeypatch.context() as patch:
        when_paused(patch, owing, "retry", "stop")
        assert tiny.train_here(owing).status == 130
    assert screen(owing)[0].topics[FIRST].again
    ran = tiny.train_here(owing)
    assert attempts(ran) == [1, 2] and ran.status == 0
    assert [name[:3] for name in ran.committed()] == ["003", "004", "005", "006"]


def test_a_retry_that_is_owed_can_be_taken_back_when_the_paused_engine_has_died(owing, unbroken, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, pipeline, "finish", 1)
        tiny.train_here(owing)
    died(owing)
    when_paused(monkeypatch, owing, "skip", "resume")
    ran = tiny.train_here(owing)
    assert attempts(ran) == [1] and ran.verdicts() == {FIRST: "error", SECOND: "passed"}
    assert ran.adapters() == unbroken["dpo"].adapters() and ran.committed() == unbroken["dpo"].committed()


def test_a_retry_that_is_owed_and_has_begun_cannot_be_taken_back(owing, unbroken, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        when_paused(patch, owing, "resume")
        when_the_journal_has_said_half_of_it(patch)
        tiny.train_here(owing)
    died(owing)
    tiny.ask(owing, "late", "skip", FIRST)
    ran = tiny.train_here(owing)
    assert ran.verdicts() == {FIRST: "skipped", SECOND: "passed"} and attempts(ran) == [1]
    assert ran.committed() == unbroken["dpo"].committed()[2:] and ran.status == 0


# A re-evaluation that fails.


@pytest.fixture
def failing(monkeypatch) -> pytest.MonkeyPatch:
    """Every re-evaluation fails, and nothing else does."""
    real = evaluate.evaluate

    def broken(session, topics, stage, *args, **more):
        if stage == "reevaluated":
            raise ValueError("the embedder has no such word")
        return real(session, topics, stage, *args, **more)

    monkeypatch.setattr(evaluate, "evaluate", broken)
    return monkeypatch


def while_another_topic_trains(patch: pytest.MonkeyPatch) -> None:
    asking(patch, SECOND, ("reevaluate", FIRST))


def between_two_topics(patch: pytest.MonkeyPatch) -> None:
    real = pipeline.finish

    def finish(session, topic, *rest):
        real(session, topic, *rest)
        if topic.id == FIRST:
            tiny.ask(session.run, "c0", "reevaluate", FIRST)

    patch.setattr(pipeline, "finish", finish)


@pytest.mark.parametrize("when", [while_another_topic_trains, between_two_topics])
def test_a_reevaluation_that_fails_is_a_failure_of_the_topic_that_was_asked_for(run, unbroken, failing, when):
    when(failing)
    ran = tiny.train_here(run)
    (answer,), (failed,) = ran.of(e.CommandTaken), ran.of(e.Failed)
    assert (answer.outcome, answer.reason) == ("refused", "not scored: the embedder has no such word")
    assert (failed.topic, failed.phase, failed.where) == (FIRST, None, f"{FIRST} reevaluated")
    assert failed.message == "ValueError: the embedder has no such word" and "Traceback" in failed.traceback
    assert ran.of(e.Evaluated, stage="reevaluated") == []
    assert ran.adapters() == unbroken["dpo"].adapters() and ran.told() == unbroken["dpo"].told()


def is_no_number(patch: pytest.MonkeyPatch) -> None:
    real = evaluate.evaluate

    def broken(session, topics, stage, *args, **more):
        found = real(session, topics, stage, *args, **more)
        return {id: replace(item, voice=math.nan) if stage == "reevaluated" else item for id, item in found.items()}

    patch.setattr(evaluate, "evaluate", broken)


def has_no_answers(patch: pytest.MonkeyPatch) -> None:
    real = Recorder.say

    def say(self, event, **settings):
        thrown_away = isinstance(event, e.Sample) and event.stage == "reevaluated"
        return None if thrown_away else real(self, event, **settings)

    patch.setattr(Recorder, "say", say)


@pytest.mark.parametrize(
    ("broken", "rule"), [(is_no_number, "score-is-measured"), (has_no_answers, "answers-journaled")]
)
def test_a_reevaluation_is_held_to_the_rules_of_every_evaluation(run, monkeypatch, broken, rule):
    broken(monkeypatch)
    while_another_topic_trains(monkeypatch)
    ran = tiny.train_here(run)
    (answer,), (failed,) = ran.of(e.CommandTaken), ran.of(e.Failed)
    assert answer.outcome == "refused" and answer.reason == f"not scored: {failed.message}"
    assert (failed.rule, failed.topic) == (rule, SECOND)  # no model is trusted after that, whoever asked
