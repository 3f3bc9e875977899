"""A topic that is begun again, by a retry or by an engine that died: what is shown together belongs together."""

from pathlib import Path

import pytest
from golden import put
from story import Story, topic_id

from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Samples
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report import page
from mindprint_tui.report.gather import gather
from mindprint_tui.view.pages.samples import Question, questions

TOPIC = topic_id(0)


def written(tmp_path: Path, story: Story) -> RunDir:
    return put(tmp_path / story.name, story.records)


def answer(story: Story, stage: e.Stage, text: str, voice: float) -> None:
    story.say(e.Sample(TOPIC, stage, "Who trims the lamp?", "The keeper.", text, 3, "eos", (), (), {}))
    story.score(0, stage, voice, answers=False)


def retried(finished: bool) -> Story:
    """A first attempt with start, SFT and DPO; of the second, SFT alone, or nothing yet."""
    story = Story("retried", 1)
    story.open()
    answer(story, "before", "base", 0.1)
    story.say(e.TopicStarted(TOPIC, 1, 1, 1))
    answer(story, "start", "start, first try", 0.2)
    answer(story, "sft", "SFT, first try", 0.4)
    story.adapter(0, "sft", "fused", True)
    answer(story, "dpo", "DPO, first try", 0.3)
    story.adapter(0, "dpo", "rolled_back", True)
    story.say(e.TopicFinished(TOPIC, "below_threshold", "voice 0.40; needed 0.6", 9.0))
    answer(story, "reevaluated", "asked for between two tries", 0.4)
    story.say(e.TopicStarted(TOPIC, 1, 1, 2))
    if finished:
        answer(story, "sft", "SFT, second try", 0.8)
        story.adapter(0, "sft", "fused", True)
        story.say(e.TopicFinished(TOPIC, "passed", "voice 0.80; needed 0.6", 9.0))
    return story


@pytest.mark.parametrize(
    ("finished", "shown"), [(True, {"before": "base", "sft": "SFT, second try"}), (False, {"before": "base"})]
)
def test_answers_and_scores_are_of_the_latest_attempt(tmp_path: Path, finished: bool, shown: dict[str, str]) -> None:
    story = retried(finished)
    run = written(tmp_path, story)

    def texts(found: list[Question]) -> dict[str, str]:
        (question,) = found
        return {stage: sample.answer for stage, sample in question.answers.items()}

    assert texts(questions(Samples(run, TOPIC).read(1.0)[0])) == shown
    assert texts(gather(run).details[TOPIC].questions) == shown
    assert fold(RunState(), story.records).topics[TOPIC].scores.keys() == shown.keys()


def died(story: Story, mark: int) -> None:
    story.say(e.EngineDied(None, "SIGKILL", 1))
    story.say(e.EngineRestarted(None, "SIGKILL", 1))
    story.say(e.Restored(mark, f"{TOPIC} goes on at sft step 2 from its checkpoint"))


def test_a_topic_that_began_before_its_engine_died_keeps_its_phase_in_the_report(tmp_path: Path) -> None:
    """Nothing was scored yet, so the engine that goes on says again that the topic starts, and no phase."""
    story = Story("died", 1)
    story.open()
    story.base()
    story.say(e.TopicStarted(TOPIC, 1, 1))
    story.phase(0, "sft", 4, 2)
    mark = story.records[-1].seq
    story.say(e.Checkpointed(TOPIC, "sft", 2, 0.1, 10))
    story.steps(0, "sft", 4, 3, 3)
    died(story, mark)
    story.say(e.TopicStarted(TOPIC, 1, 1))
    story.adapter(0, "sft", "attached")
    story.steps(0, "sft", 4, 3, 4)
    story.score(0, "sft", 0.8)
    story.adapter(0, "sft", "fused", True)
    story.say(e.TopicFinished(TOPIC, "passed", "voice 0.80; needed 0.6", 9.0))
    phases = gather(written(tmp_path, story)).details[TOPIC].phases
    assert list(phases) == ["sft"]
    assert sorted(phases["sft"].loss.buckets) == [0, 1, 2, 3]
    assert phases["sft"].settled is not None and phases["sft"].settled.state == "fused"


def test_a_decision_that_a_death_made_void_is_in_the_report_once(tmp_path: Path) -> None:
    story = Story("decided", 1)
    story.open()
    story.base()
    story.say(e.TopicStarted(TOPIC, 1, 1))
    story.phase(0, "sft", 4)
    mark = story.records[-1].seq
    story.say(e.Checkpointed(TOPIC, "sft", 4, 0.1, 10))
    story.score(0, "sft", 0.8)
    story.decide(0, "keep", "voice 0.08 -> 0.80, before the death")
    died(story, mark)
    story.adapter(0, "sft", "attached")
    story.score(0, "sft", 0.8)
    story.decide(0, "keep", "voice 0.08 -> 0.80, after it")
    shown = page.render(gather(written(tmp_path, story)))
    assert "before the death" not in shown
    assert shown.count("after it") == 1
