"""A retry that waits: the pane shows it, and s and r agree with the engine about it, whoever asked."""

import pytest
from make import finished, happy
from story import Story, topic_id

from engine.contract.journal import events as e
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report.checks import RunFacts, checks
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.footer import why_disabled
from mindprint_tui.view.header import second
from mindprint_tui.view.panes.log import log_lines
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.topics import topic_lines
from mindprint_tui.view.panes.voice import voice_lines
from mindprint_tui.view.text import Line

ALIVE = Liveness("alive", 0.0)
DONE, SKIPPED = topic_id(0), topic_id(1)
RETRY = e.CommandTaken("1", "retry", "done", "is trained again after the topics that are still to come", DONE)
SKIP = e.CommandTaken("2", "skip", "done", "is not trained again; its verdict and what it has learned stay", DONE)


def told(*events: e.Event) -> RunState:
    """A run in the middle of its fourth topic, and what was said then."""
    state = fold(RunState(), happy())
    return fold(state, [e.Record(state.seq + place, state.t + place, event) for place, event in enumerate(events, 1)])


def words(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def row(state: RunState, topic: str, cells: int = 60) -> str:
    rows = outline(state.topics)
    return words(topic_lines(state, rows, topic, cells, 40))[rows.places[topic]]


def voice(state: RunState, topic: str) -> str:
    return "\n".join(words(voice_lines(state, Focus(topic), outline(state.topics), 60)))


def refused(state: RunState, action: str) -> str:
    return why_disabled(action, state, ALIVE, Focus(DONE))


def test_a_retry_that_waits_is_seen_and_can_be_taken_back() -> None:
    state = told(RETRY)
    assert row(state, DONE).startswith("▸▷ Trimming the lamp") and "retry" in row(state, DONE)
    assert row(state, DONE, 40).startswith("▸▷")
    assert "waits for its retry" in voice(state, DONE)
    assert refused(state, "skip") == "" and "waits for its retry already" in refused(state, "retry")
    state = told(RETRY, SKIP)
    assert row(state, DONE).startswith("▸✓") and "passed" in row(state, DONE)
    assert "finished already" in refused(state, "skip") and refused(state, "retry") == ""


@pytest.mark.parametrize("answer", [e.CommandTaken("1", "retry", "refused", "no", DONE), SKIP])
def test_what_was_not_queued_does_not_wait(answer: e.CommandTaken) -> None:
    state = told(answer)
    assert row(state, DONE).startswith("▸✓") and refused(state, "retry") == ""


def test_a_retry_outlives_its_engine_and_ends_when_it_begins() -> None:
    state = told(RETRY, e.EngineDied(-9, "SIGKILL", 1), e.EngineRestarted(-9, "SIGKILL", 1))
    assert row(state, DONE).startswith("▸▷")
    begun = told(RETRY, e.TopicStarted(DONE, 1, 6, 2))
    assert row(begun, DONE).startswith("▸▶ Trimming the lamp (2nd try)")
    skipped = told(RETRY, e.TopicFinished(DONE, "skipped", "skipped by me@pts/1", 0.0))
    assert row(skipped, DONE).startswith("▸»") and "finished already" in refused(skipped, "skip")


def test_a_retry_that_the_run_owes_waits_as_a_persons_does() -> None:
    owed, failed = e.Decided(DONE, "retry", "1 more allowed"), e.TopicFinished(DONE, "error", "it broke", 9.0)
    state = told(owed, failed)
    assert row(state, DONE).startswith("▸▷") and "waits for its retry" in voice(state, DONE)
    assert refused(state, "skip") == "" and "waits for its retry already" in refused(state, "retry")
    assert row(told(owed, failed, SKIP), DONE).startswith("▸!")
    assert row(told(owed, failed, e.TopicStarted(DONE, 1, 6, 2)), DONE).startswith("▸▶ Trimming the lamp (2nd try)")
    assert row(told(owed, e.TopicFinished(DONE, "skipped", "skipped by me@pts/1", 9.0)), DONE).startswith("▸»")
    assert row(told(owed, failed, SKIP, failed), DONE).startswith("▸!"), "what was owed once is owed no more"
    restored = (e.TopicStarted(DONE, 1, 6, 2), owed, e.Restored(0, "it is decided again"), failed)
    assert row(told(*restored), DONE).startswith("▸!")


def test_an_answer_about_a_topic_that_is_not_there_makes_none() -> None:
    assert "no/such/topic" not in told(e.CommandTaken("1", "retry", "done", "", "no/such/topic")).topics


def second_attempt() -> RunState:
    """The second topic was skipped in its DPO, and has begun again."""
    story = Story("again", 2)
    story.open()
    story.base()
    story.topic(0, 0.71, None)
    story.say(e.TopicStarted(SKIPPED, 2, 2))
    story.phase(1, "sft", 12)
    story.score(1, "sft", 0.7)
    story.adapter(1, "sft", "fused", True)
    story.phase(1, "dpo", 12)
    story.say(e.TopicFinished(SKIPPED, "skipped", "skipped by root@pts/0", 60.0))
    story.say(e.TopicStarted(SKIPPED, 2, 2, 2))
    return fold(RunState(), story.records)


def test_a_second_attempt_begins_with_no_facts_of_the_first() -> None:
    state = second_attempt()
    assert "(2nd try)" in row(state, SKIPPED) and row(state, SKIPPED).endswith("scoring")
    assert "done" not in row(state, SKIPPED)
    assert "skipped by" not in voice(state, SKIPPED)
    shown = words([second(state, Focus(), outline(state.topics), 80)])[0]
    assert "DPO" not in shown and "loss" not in shown
    begun = fold(state, [e.Record(state.seq + 1, state.t, e.PhaseStarted(SKIPPED, "sft", 12, 8, 1200, 3600))])
    assert row(begun, SKIPPED).endswith("SFT ▕░░░░░░░░░░▏ 0/12")


def test_an_engine_that_goes_on_with_an_attempt_says_again_that_it_began() -> None:
    state = fold(RunState(), finished()[:-1])
    last = topic_id(2)
    resumed = fold(state, [e.Record(state.seq + 1, state.t, e.TopicStarted(last, 3, 3, 1))])
    assert resumed.phase_of(last) is state.phase


def dropped() -> Story:
    """A topic whose DPO is rolled back; then what SFT committed leaves the model for its second attempt."""
    story = Story("dropped", 1)
    story.open()
    story.base()
    story.say(e.TopicStarted(DONE, 1, 1))
    story.phase(0, "sft", 12)
    story.adapter(0, "sft", "fused", True, 0.8)
    story.phase(0, "dpo", 12)
    story.adapter(0, "dpo", "rolled_back", True)
    story.say(e.TopicFinished(DONE, "below_threshold", "voice 0.40; needed 0.6", 60.0))
    story.depth = 0
    story.adapter(0, "sft", "rolled_back")
    return story


@pytest.mark.parametrize("again", [False, True])
def test_what_a_retry_takes_out_of_the_model_is_no_phase_that_was_taken_back(again: bool) -> None:
    story = dropped()
    if again:
        story.say(e.TopicStarted(DONE, 1, 1, 2))
    state = fold(RunState(), story.records)
    log = words(log_lines(state, Focus(), 120, 40)[0])
    assert [entry[6:] for entry in log if "taken" in entry] == [
        "DPO of Trimming the lamp taken back; the model is as it was",
        "SFT of Trimming the lamp taken out of the model to train it again",
    ]


def test_what_a_retry_takes_out_of_the_model_is_no_phase_in_the_report() -> None:
    tally = RunFacts()
    tally.take(dropped().records)
    found = {check.rule: check.found for check in checks(tally)}
    assert found["The model, as last stated"].endswith("committed deltas: 0")


# A skip of a topic that has not begun.

PENDING = topic_id(5)
UNWANTED = e.CommandTaken("3", "skip", "done", "will be skipped", PENDING)


def test_a_topic_that_will_be_skipped_says_so_until_its_turn_comes() -> None:
    """Over the death of the engine that was asked, too, and to whoever looks later."""
    state = told(UNWANTED, e.EngineDied(-9, "SIGKILL", 1), e.EngineRestarted(-9, "SIGKILL", 1))
    assert row(state, PENDING).startswith("▸» Oil and stores") and row(state, PENDING).endswith("will be skipped")
    assert row(state, PENDING, 40).startswith("▸»") and row(state, PENDING, 40).endswith("to skip")
    assert "it will be skipped when its turn comes" in voice(state, PENDING)
    assert "is already marked to be skipped" in why_disabled("skip", state, ALIVE, Focus(PENDING))
    assert outline(state.topics).waiting == outline(told().topics).waiting - 1
    done = told(UNWANTED, e.TopicFinished(PENDING, "skipped", "skipped by me@pts/1", 0.0))
    assert row(done, PENDING).endswith("skipped") and "when its turn comes" not in voice(done, PENDING)


def test_a_topic_without_scores_that_will_be_skipped_says_so() -> None:
    state = fold(RunState(), happy()[:4])
    state = fold(state, [e.Record(9, state.t, UNWANTED)])
    assert "it will be skipped" in voice(state, PENDING) and "no scores yet" in voice(state, PENDING)


@pytest.mark.parametrize("answer", [RETRY, SKIP, e.CommandTaken("4", "skip", "refused", "no", PENDING)])
def test_nothing_else_makes_a_topic_unwanted(answer: e.CommandTaken) -> None:
    assert not any(topic.unwanted for topic in told(answer).topics.values())
