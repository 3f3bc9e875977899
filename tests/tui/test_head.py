"""The header: what it says before the journal says anything, and what it leaves out where there is no room."""

import pytest
from make import collapsed, finished, restarted
from story import Story, topic_id

from engine.contract import events as e
from mindprint_tui.feed import Liveness
from mindprint_tui.state import RunState, fold
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.head import STARTING, condition, header, second, timing
from mindprint_tui.view.outline import outline
from mindprint_tui.view.text import Line


def words(shown: Line) -> str:
    return "".join(text for text, _ in shown)


@pytest.mark.parametrize("word", ["gone", "alive"])
def test_an_engine_that_has_said_nothing_yet_is_starting(word: str) -> None:
    state, live = RunState(), Liveness(word, 0.0)
    assert condition(state, live, Focus(opened=0.0), 1.0)[0] == "starting…"
    assert "✗" not in words(timing(state, live, outline({}), 1.0, True))


def test_an_engine_that_never_said_anything_is_gone() -> None:
    assert condition(RunState(), Liveness("gone", 0.0), Focus(opened=0.0), STARTING + 1)[0] == "engine gone"


@pytest.mark.parametrize("cells", [34, 40, 60])
def test_what_there_is_no_room_for_is_left_out_whole(cells: int) -> None:
    state = fold(RunState(), restarted())
    shown = words(header(state, Liveness("alive", 0.0), Focus(), outline(state.topics), state.t, cells))
    assert "restarted · running · topic 2/3" in shown
    assert "…" not in shown


def test_the_second_line_has_no_numbers_of_the_topic_before() -> None:
    told = finished()
    starts = [place for place, record in enumerate(told) if isinstance(record.event, e.TopicStarted)]
    at = fold(RunState(), told[: starts[1]])
    assert "DPO" in words(second(at, Focus(), outline(at.topics), 80))
    begun = fold(RunState(), told[: starts[1] + 1])
    shown = words(second(begun, Focus(), outline(begun.topics), 80))
    assert "DPO" not in shown and "loss" not in shown
    assert begun.topics[told[starts[1]].event.topic].info.title in shown


def test_the_second_line_says_what_a_topic_began_with() -> None:
    """A topic whose voice earlier topics have taught is not shown with the base's voice alone."""
    told = collapsed()
    began = [place for place, record in enumerate(told) if isinstance(record.event, e.TopicStarted)]
    first = fold(RunState(), told[: began[1]])
    assert "voice 0.08→0.66 · Trimming the lamp" in words(second(first, Focus(), outline(first.topics), 80))
    third = fold(RunState(), told)
    shown = words(second(third, Focus(), outline(third.topics), 80))
    assert "SFT 3/12" in shown and "voice 0.08→start 0.31 · The clockwork" in shown
    assert outline(third.topics).voices[topic_id(1)] == "0.08→start 0.25⟲0.00"


def test_a_start_like_the_base_is_no_news() -> None:
    story = Story("same", 2)
    story.open()
    story.base()
    story.say(e.TopicStarted(topic_id(1), 2, 2))
    story.score(1, "start", 0.082)
    story.score(1, "sft", 0.7)
    topics = fold(RunState(), story.records).topics
    assert outline(topics).voices[topic_id(1)] == "0.08→0.70"


def test_before_the_first_topic_is_done_what_is_left_is_what_was_predicted() -> None:
    told = finished()
    first = next(place for place, record in enumerate(told) if isinstance(record.event, e.PhaseStarted))
    state = fold(RunState(), told[: first + 1])
    rows, live = outline(state.topics), Liveness("alive", 0.0)
    assert "left" not in words(timing(state, live, rows, state.t, True))
    state = fold(state, [e.Record(state.seq + 1, state.t, e.Predicted(state.t - state.began + 240.0, 60.0, "a guess"))])
    assert "about 4 min left" in words(timing(state, live, rows, state.t, True))
    assert "left" not in words(timing(state, live, rows, state.t + 300.0, True)), "it took longer than predicted"
