"""The line that says what became of a request: it gives way to what is newer, and is never untrue."""

from dataclasses import replace

import pytest
from make import finished, happy
from msgspec import structs

from engine.contract.journal import events as e
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.focus import Focus, OpenRequest, with_answers
from mindprint_tui.view.header import SHOWN
from mindprint_tui.view.notices import notice
from mindprint_tui.view.panes.log import words

ALIVE = Liveness("alive", 0.0)
TOPIC = "unit-01/chapter-01/topic-01"
ANSWERS = {
    "pause": "paused; resume goes on",
    "resume": "resumed",
    "retry": f"{TOPIC} is trained again after the topics that are still to come",
    "skip": f"{TOPIC} will be skipped",
}


def on(state: RunState, *events: e.Event) -> RunState:
    return fold(state, [e.Record(state.seq + place, state.t + place, event) for place, event in enumerate(events, 1)])


def answer(kind: str, outcome: str = "done") -> e.CommandTaken:
    return e.CommandTaken(kind, kind, outcome, ANSWERS[kind], TOPIC)


def asked(state: RunState, *kinds: str) -> Focus:
    return Focus(asked=tuple(OpenRequest(kind, kind, TOPIC, state.t) for kind in kinds))


def shown(state: RunState, focus: Focus, later: float = 0.0, cells: int = 120, live: Liveness = ALIVE) -> str:
    return "".join(text for text, _ in notice(state, live, with_answers(state, focus), state.t + later, cells))


def test_an_answer_gives_way_after_a_while() -> None:
    begun = fold(RunState(), happy())
    state = on(begun, answer("retry"))
    assert "✓ retry" in shown(state, asked(begun, "retry"))
    assert "✓ retry" not in shown(state, asked(begun, "retry"), SHOWN)


def test_an_answer_that_was_long_in_coming_is_shown() -> None:
    state = fold(RunState(), happy())
    focus = asked(structs.replace(state, t=state.t - 600.0), "retry")
    assert "✓ retry" in shown(on(state, answer("retry")), focus)


@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [("pause", e.Paused("me@pts/0"), e.Resumed("a@pts/1")), ("resume", e.Resumed("me@pts/0"), e.Paused("a@pts/1"))],
)
def test_an_answer_goes_when_somebody_elses_request_makes_it_untrue(kind: str, first: e.Event, then: e.Event) -> None:
    begun = fold(RunState(), happy())
    state = on(begun, answer(kind), first)
    assert f"✓ {kind}" in shown(state, asked(begun, kind))
    assert f"✓ {kind}" not in shown(on(state, then), asked(begun, kind))


@pytest.mark.parametrize("topic", [None, TOPIC])
def test_at_the_end_the_end_has_the_word(topic: str | None) -> None:
    told = finished()
    begun = fold(RunState(), told[:-1])
    state = on(begun, answer("retry"), told[-1].event)
    focus = replace(asked(begun, "retry", "pause"), topic=topic)
    assert shown(state, focus).startswith(" 3 of 3 topics passed in")
    assert "enter shows answers" in shown(state, focus)


@pytest.mark.parametrize("cells", [80, 120])
def test_why_a_key_does_nothing_comes_first_and_the_newest_answer_then(cells: int) -> None:
    begun = fold(RunState(), happy())
    state = on(begun, answer("retry"), answer("skip", "refused"))
    focus = asked(begun, "retry", "skip")
    assert shown(state, focus, cells=cells).startswith(" ✗ skip “Trimming the lamp” refused")
    why = "skip: “Trimming the lamp” is finished already"
    assert shown(state, replace(focus, note=why, note_t=state.t), cells=cells).startswith(f" {why}")


@pytest.mark.parametrize("kind", ["reevaluate", "retry", "skip", "pause"])
def test_what_is_asked_ends_in_one_ellipsis(kind: str) -> None:
    state = fold(RunState(), happy())
    for cells in range(10, 120):
        assert "……" not in shown(state, asked(state, kind, "retry", "stop"), cells=cells)


def test_a_pause_is_said_beside_the_time_that_it_was_part_of() -> None:
    end = e.RunFinished(1, 2, 1, "f", 734.0, predicted_seconds=240.0, paused_seconds=190.0)
    state = on(fold(RunState(), happy()), end)
    log = words(state, end)
    assert log is not None and "1 of 2 passed in 12 min, 3 min of it paused; predicted: 4 min" in log[0]
    assert "in 12 min, 3 min of it paused" in shown(state, Focus())
    never = words(state, structs.replace(end, paused_seconds=0.0))
    assert never is not None and "paused" not in never[0]


def test_what_is_not_answered_stays_however_much_was_answered_since() -> None:
    begun = fold(RunState(), happy())
    kinds = ("reevaluate", "pause", "resume", "skip", "retry")
    state = on(begun, *(answer(kind) for kind in kinds[1:]), e.Resumed("me@pts/0"))
    assert "re-evaluation asked for" in shown(state, asked(begun, *kinds), SHOWN)


@pytest.mark.parametrize(
    ("kind", "topic", "then"),
    [
        ("skip", TOPIC, "it is done when the run goes on"),
        ("retry", TOPIC, "it is done when the run goes on"),
        ("reevaluate", TOPIC, "it is done when the run goes on"),
        ("pause", None, "it will not answer"),
        ("stop", None, "it will not answer"),
    ],
)
def test_what_a_dead_engine_did_not_take_is_left_for_the_next_one(kind: str, topic: str | None, then: str) -> None:
    """It takes what is to become of a topic, and refuses a pause or a stop that was not asked of itself."""
    state = fold(RunState(), happy())
    focus = Focus(asked=(OpenRequest("1", kind, topic, state.t),))
    assert shown(state, focus, live=Liveness("gone", 0.0)).endswith(f"… the engine is gone; {then}")


def test_damaged_lines_are_counted_before_all_that_stands() -> None:
    state = fold(RunState(), finished())
    assert shown(state, Focus()).startswith(" 3 of 3 topics passed")
    assert shown(state, Focus(damaged=2)).startswith(" ! 2 lines of the journal cannot be read  3 of 3 topics passed")
