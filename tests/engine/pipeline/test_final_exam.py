"""The final exam: every topic answered by the model that the run leaves, once per model, whatever comes in between."""

import json
import math

import pytest
import tiny
from breaking import FIRST, SECOND, settings
from dying import Killed
from msgspec.structs import replace

from engine.contract.intervals import paired_change
from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import ThresholdsConfig
from engine.evaluation import evaluate, generation, language
from engine.pipeline import decisions, exam
from engine.pipeline import run as pipeline
from engine.runtime.recorder import Recorder
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.panes.outline import outline


@pytest.fixture
def run(kit, tmp_path) -> RunDir:
    return tiny.new_run(tmp_path / "run", settings(kit, "sft"))


@pytest.fixture(scope="module")
def peace(kit, tmp_path_factory) -> tiny.Ran:
    """Two questions a topic, so that the changes have a spread."""
    folder = tmp_path_factory.mktemp("peace")
    more = tiny.ask_more(kit[1], folder / "more")
    return tiny.train_here(tiny.new_run(folder / "run", settings((kit[0], more), "sft")))


def finals(ran: tiny.Ran) -> list[tuple[str, str]]:
    return [(found.topic, found.model_fingerprint) for found in ran.of(e.Evaluated, stage="final")]


def test_every_topic_is_answered_by_the_model_that_the_run_leaves(peace):
    end = peace.of(e.RunFinished)[0]
    assert finals(peace) == [(FIRST, end.fingerprint), (SECOND, end.fingerprint)]
    assert len(peace.of(e.Sample, stage="final")) == 4
    (examined,) = peace.of(e.Examined)
    assert (examined.topics, examined.compared, examined.answers) == (2, 2, 4)
    assert examined.fingerprint == end.fingerprint and examined.forgotten == ()


def test_the_change_is_paired_by_question_with_its_interval(peace):
    then, now = (
        [sample.scores["voice"] for topic in (FIRST, SECOND) for sample in peace.of(e.Sample, stage=stage, topic=topic)]
        for stage in ("sft", "final")
    )
    change = paired_change(then, now)
    assert peace.of(e.Examined)[0].changes["voice"] == pytest.approx((change.mean, change.low, change.high))
    told = json.loads(peace.run.summary.read_text())
    found = told["exam"]["final_minus_then"]["voice"]
    assert found["mean"] == pytest.approx(change.mean, abs=1e-4)
    assert found["interval"] == pytest.approx([change.low, change.high], abs=1e-4)
    assert told["exam"]["forgotten"] == [] and [row["forgotten"] for row in told["topics"]] == [False, False]
    for row in told["topics"]:
        (final,) = peace.of(e.Evaluated, topic=row["topic"], stage="final")
        assert row["final"]["voice"] == pytest.approx(final.voice, abs=1e-4)
        assert row["at_end"] == row["after_sft"]
    assert f"voice_change={change.mean:+.3f}" in peace.run.log.read_text()


def test_a_topic_that_is_not_in_the_model_is_examined_and_not_compared(run, monkeypatch):
    tiny.ask(run, "c1", "skip", FIRST)
    ran = tiny.train_here(run)
    assert [topic for topic, _ in finals(ran)] == [FIRST, SECOND]
    assert (ran.of(e.Examined)[0].topics, ran.of(e.Examined)[0].compared) == (2, 1)


def test_a_stopped_run_has_no_exam_and_holds_it_when_it_goes_on(run, monkeypatch):
    real = exam.hold_exam
    with monkeypatch.context() as patch:

        def asked(session, history):
            tiny.ask(session.run, "c1", "stop")
            return real(session, history)

        patch.setattr(pipeline, "hold_exam", asked)
        assert tiny.train_here(run).status == 130
    told = json.loads(run.summary.read_text())
    assert told["exam"] is None and {row["final"] for row in told["topics"]} == {None}
    ran = tiny.train_here(run)
    assert ran.status == 0 and [topic for topic, _ in finals(ran)] == [FIRST, SECOND]


@pytest.mark.parametrize("at", [1, 2])
def test_a_death_in_the_exam_costs_nothing_and_counts_nothing_twice(run, unbroken, monkeypatch, at):
    """After the answers of the first topic, and after those of both: what is missing is answered, and no more."""
    seen = []
    real = Recorder.say

    def say(self, event, **how):
        found = real(self, event, **how)
        if isinstance(event, e.Evaluated) and event.stage == "final" and len(seen) < at:
            seen.append(event.topic)
            if len(seen) == at:
                raise Killed
        return found

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Recorder, "say", say)
        tiny.train_here(run)
    ran = tiny.train_here(run)
    assert [topic for topic, _ in finals(ran)] == [FIRST, SECOND]
    assert ran.told() == unbroken["sft"].told() and ran.adapters() == unbroken["sft"].adapters()


def test_a_run_that_is_resumed_after_its_end_is_not_examined_again(run, monkeypatch):
    tiny.train_here(run)
    monkeypatch.setattr(exam.evaluate, "measure", None)
    ran = tiny.train_here(run)
    assert len(finals(ran)) == 2 and ran.status == 0 and len(ran.of(e.RunFinished)) == 2


def test_a_retry_that_is_asked_for_in_the_exam_is_trained_and_examined_again(run, monkeypatch):
    """And until then no reader shows a final score of the model that is gone."""
    real, states = exam.evaluate.measure, []

    def measure(session, topics, stage, *rest, **named):
        if stage == "final" and not states:
            tiny.ask(session.run, "c1", "retry", FIRST)
            states.append(stage)
        return real(session, topics, stage, *rest, **named)

    monkeypatch.setattr(exam.evaluate, "measure", measure)
    ran = tiny.train_here(run)
    models = [model for _, model in finals(ran)]
    assert [topic for topic, _ in finals(ran)] == [FIRST, SECOND] * 2
    assert models[0] == models[1] != models[2] == models[3] == ran.of(e.RunFinished)[0].fingerprint
    assert len(ran.of(e.Examined)) == 1
    records = Feed(run).read(60)
    place = next(i for i, record in enumerate(records) if isinstance(record.event, e.AdapterChanged)
                 and record.event.state == "rolled_back")  # fmt: skip
    state = fold(RunState(), records[: place + 1])
    assert not any("final" in topic.scores for topic in state.topics.values()) and not state.in_exam
    whole = fold(RunState(), records)
    assert all("final" in topic.scores for topic in whole.topics.values())
    assert all(" · now " in text for text in outline(whole.topics).voices.values())


def test_a_forgotten_topic_keeps_its_verdict_and_costs_status_0(run, monkeypatch):
    monkeypatch.setattr(decisions, "forgotten", lambda word, found, limits: found.topic == SECOND)
    ran = tiny.train_here(run)
    assert ran.verdicts() == {FIRST: "passed", SECOND: "passed"}
    assert ran.status == 1 and ran.of(e.Examined)[0].forgotten == (SECOND,)
    told = json.loads(run.summary.read_text())
    assert told["exam"]["forgotten"] == [SECOND] and told["exit_status"] == 1
    assert [row["forgotten"] for row in told["topics"]] == [False, True]


@pytest.mark.parametrize(
    ("word", "voice", "health", "gone"),
    [
        ("passed", 0.1, "ok", True),
        ("undecided", 0.1, "ok", True),
        ("passed", 0.6, "ok", False),
        ("passed", 0.45, "ok", False),  # the threshold lies in the interval
        ("passed", 0.6, "repeating", True),
        ("below_threshold", 0.1, "ok", False),  # it counts already
        ("skipped", 0.1, "ok", False),
        ("not_trained", 0.1, "ok", False),
    ],
)
def test_forgotten_is_what_had_not_failed_and_is_decided_to_fail_now(peace, word, voice, health, gone):
    found = peace.of(e.Evaluated, stage="final")[0]
    found = replace(found, voice=voice, health=health, intervals={"voice": (voice - 0.1, voice + 0.1)})
    assert decisions.forgotten(word, found, ThresholdsConfig(voice=0.5)) == gone


def test_the_exam_is_one_batch(run, monkeypatch):
    real, asked = generation.generate, []

    def generate(session, prompts, *rest, **named):
        asked.append(len(prompts))
        return real(session, prompts, *rest, **named)

    monkeypatch.setattr(evaluate.generation, "generate", generate)
    tiny.train_here(run)
    assert asked[-1] == 2 and asked.count(2) >= 2  # before and final


def test_the_predicted_time_has_the_exam_in_it(peace):
    predicted = peace.of(e.Predicted)[0]
    exam_seconds = sum(found.seconds for found in peace.of(e.Evaluated, stage="before"))
    assert predicted.least > 2 * exam_seconds


def test_the_language_kept_is_measured_once_for_all_topics_of_a_batch(peace):
    for stage in ("before", "final"):
        assert len({found.language_loss for found in peace.of(e.Evaluated, stage=stage)}) == 1
    told = json.loads(peace.run.summary.read_text())["exam"]
    base, final = (peace.of(e.Evaluated, stage=stage)[0].language_loss for stage in ("before", "final"))
    assert told["language_loss_of_base"] == pytest.approx(base, abs=1e-4)
    assert told["language_loss"] == pytest.approx(final, abs=1e-4) != told["language_loss_of_base"]


def test_a_phase_that_unlearns_the_language_is_warned_of_once(kit, tmp_path, monkeypatch):
    """Broken on purpose: a learning rate a hundred times too high.

    A tiny random model knows no language, so that its loss rises by a few hundredths: the limit is lower here.
    """
    monkeypatch.setattr(language, "LIMIT", 1.01)
    config = settings(kit, "sft")
    config["sft"]["learning_rate"] = 1.0
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    before, after = (ran.of(e.Evaluated, topic=FIRST, stage=stage)[0].language_loss for stage in ("before", "sft"))
    warned = ran.of(e.Warned, key="language")
    assert after > 1.01 * before and len(warned) == 1
    assert warned[0].message.startswith(f"{FIRST} after SFT: the model is losing its language")
    assert f"{after:.2f} nats a token, and the base model's {before:.2f}" in warned[0].message


@pytest.mark.parametrize(
    ("loss", "earlier", "base", "warns"),
    [
        (4.4, 3.2, 3.0, False),
        (4.6, 3.2, 3.0, True),
        (4.6, None, 3.0, True),
        (4.8, 4.6, 3.0, False),  # it was said already
        (math.nan, 3.2, 3.0, True),
        (math.inf, 3.2, 3.0, True),
        (9.0, 3.2, None, False),
    ],
)
def test_a_warning_comes_when_the_loss_rises_above_its_limit(loss, earlier, base, warns):
    assert bool(language.warning("somewhere", loss, earlier, base)) == warns


def test_the_neutral_text_is_one_that_nobody_trains_on_and_is_cut_where_rows_are():
    assert language._cut([1, 2, 0, 3, 4], frozenset([0]), 3) == (1, 2, 3)
    assert 200 < len(language.TEXT.split()) < 300 and language.TEXT.isascii()
