"""The header: what it says before the journal says anything, and what it leaves out where there is no room."""

import pytest
from make import finished, restarted

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


def test_before_the_first_topic_is_done_what_is_left_is_what_was_predicted() -> None:
    told = finished()
    first = next(place for place, record in enumerate(told) if isinstance(record.event, e.PhaseStarted))
    state = fold(RunState(), told[: first + 1])
    rows, live = outline(state.topics), Liveness("alive", 0.0)
    assert "left" not in words(timing(state, live, rows, state.t, True))
    state = fold(state, [e.Record(state.seq + 1, state.t, e.Predicted(state.t - state.began + 240.0, 60.0, "a guess"))])
    assert "about 4 min left" in words(timing(state, live, rows, state.t, True))
    assert "left" not in words(timing(state, live, rows, state.t + 300.0, True)), "it took longer than predicted"
