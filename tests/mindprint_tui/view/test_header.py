"""The header: what it says before the journal says anything, and what it leaves out where there is no room."""

import pytest
from make import collapsed, finished, happy, restarted
from msgspec import structs
from msgspec.structs import replace
from story import Story, topic_id

from engine.contract.journal import events as e
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.header import STARTING, condition, header, second, timing
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.text import Line
from mindprint_tui.view.time_left import remaining


def words(shown: Line) -> str:
    return "".join(text for text, _ in shown)


@pytest.mark.parametrize("word", ["gone", "alive"])
def test_an_engine_that_has_said_nothing_yet_is_starting(word: str) -> None:
    state, live = RunState(), Liveness(word, 0.0)
    assert condition(state, live, Focus(opened=0.0), 1.0)[0] == "starting…"
    assert "✗" not in words(timing(state, live, Focus(), outline({}), 1.0, True))


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
    assert "left" not in words(timing(state, live, Focus(), rows, state.t, True))
    state = fold(state, [e.Record(state.seq + 1, state.t, e.Predicted(state.t - state.began + 240.0, 60.0, "a guess"))])
    assert "about 4 min left" in words(timing(state, live, Focus(), rows, state.t, True))
    assert "left" not in words(timing(state, live, Focus(), rows, state.t + 300.0, True)), (
        "it took longer than predicted"
    )


def last_topic(upto: str) -> RunState:
    """The third and last topic, until an event of that kind is its latest one."""
    told = finished()
    begun = next(place for place, record in enumerate(told) if getattr(record.event, "index", 0) == 3)
    found = [place for place, record in enumerate(told) if record.event.kind == upto and place >= begun]
    return fold(RunState(), told[: found[-1] + 1])


def left(state: RunState, seconds: float = 0.0) -> float | None:
    """Returns what is left, without the final exam, which comes after all topics."""
    places = outline(state.topics)
    found = remaining(state, places, state.t + seconds)
    return None if found is None else found - places.base_seconds


def test_what_is_left_shrinks_while_a_topic_runs_and_is_not_known_when_it_takes_longer() -> None:
    state = last_topic("topic_started")
    mean = sum(topic.worked for topic in state.topics.values()) / 2
    assert left(state) == pytest.approx(mean)
    assert left(state, mean - 10.0) == pytest.approx(10.0)
    assert left(state, mean + 1.0) is None


def test_a_pause_and_the_time_without_an_engine_are_no_work() -> None:
    state = last_topic("topic_started")
    before = left(state)
    for stops, goes_on in (
        (e.Paused("me@pts/0"), e.Resumed("a@pts/1")),
        (e.EngineDied(-9, "SIGKILL", 1), e.EngineRestarted(-9, "SIGKILL", 1)),
        (e.RunFinished(2, 3, 130, "f", 9.0), e.EngineRestarted(None, None, 1)),
    ):
        stopped = fold(state, [e.Record(state.seq + 1, state.t, stops)])
        if stopped.finished is None:
            assert left(stopped, 3600.0) == before
        state = fold(stopped, [e.Record(state.seq + 2, state.t + 3600.0, goes_on)])
        assert left(state) == before


@pytest.mark.parametrize(
    "said",
    [
        (),  # supervisor and engine were both killed
        (e.Failed("disk", "the disk is full", ""),),
        (e.Failed("input", "sft.rank: found 4, but the run began with 8", ""),),  # an hour later, by the next engine
        (e.EngineDied(-9, "SIGKILL", 1),),  # by a supervisor whose first engine died before it said a word
    ],
    ids=["nothing", "failed", "refused", "died"],
)
@pytest.mark.parametrize("later", [0.0, 3600.0])
def test_the_time_after_an_engine_s_last_word_is_no_work(said: tuple[e.Event, ...], later: float) -> None:
    state = last_topic("topic_started")
    before, t = left(state), state.t
    told = [*said, e.EngineRestarted(None, None, 1)]
    records = [e.Record(state.seq + n, t + later + 3600.0 * (n - 1), event) for n, event in enumerate(told, 1)]
    records.append(e.Record(records[-1].seq + 1, records[-1].t + 5.0, e.Preparing("loading")))
    assert left(fold(state, records)) == pytest.approx((before or 0.0) - 5.0)
    for record in records:
        state = fold(state, [record])
    assert left(state) == pytest.approx((before or 0.0) - 5.0), "however the records are cut into batches"


@pytest.mark.parametrize("stopped", [True, False])
def test_a_topic_that_is_said_again_began_when_its_attempt_did(stopped: bool) -> None:
    """An engine that went on before anything of the topic was scored says topic_started again."""
    state = last_topic("topic_started")
    began, mean, start = state.current_began, left(state), state.t
    again = state.topics[topic_id(2)].attempt
    told = [(30.0, e.RunFinished(2, 3, 130, "f", 9.0) if stopped else e.EngineDied(-9, "SIGKILL", 1))]
    told += [(900.0, e.EngineRestarted(None, None, 1)), (905.0, e.TopicStarted(topic_id(2), 3, 3, again))]
    state = fold(state, [e.Record(state.seq + 1, start + 29.9, e.Preparing("training"))])
    state = fold(state, [e.Record(state.seq + n, start + t, event) for n, (t, event) in enumerate(told, 1)])
    assert state.current_began == began
    assert left(state) == pytest.approx((mean or 0.0) - 35.0, abs=0.2)
    ends = [e.Record(state.seq + 1, state.t + 1.0, e.TopicFinished(topic_id(2), "passed", "", 36.0))]
    assert fold(state, ends).topics[topic_id(2)].worked == pytest.approx(36.0, abs=0.2)
    retried = fold(state, [*ends, e.Record(state.seq + 2, state.t + 1.0, e.TopicStarted(topic_id(2), 3, 3, again + 1))])
    assert retried.current_began == pytest.approx(began + 36.0, abs=0.2)


def test_a_pause_in_a_topic_is_no_part_of_how_long_topics_take() -> None:
    told = finished()
    within = next(place for place, record in enumerate(told) if isinstance(record.event, e.Step))
    t = told[within].t
    pause = [e.Record(0, t, e.Paused("me@pts/0")), e.Record(0, t + 900.0, e.Resumed("me@pts/0"))]
    later = [replace(record, t=record.t + 900.0) for record in told[within + 1 :]]
    one, other = fold(RunState(), told), fold(RunState(), [*told[: within + 1], *pause, *later])
    for id, topic in one.topics.items():
        assert other.topics[id].worked == pytest.approx(topic.worked)


def test_in_dpo_the_steps_say_what_is_left_of_a_topic() -> None:
    """However long it took so far: DPO is the last phase of a topic, and one more scoring ends it."""
    told = finished()
    ends = next(place for place, record in enumerate(told) if isinstance(record.event, e.TopicFinished))
    steps = [place for place, record in enumerate(told) if getattr(record.event, "phase", "") == "dpo"]
    second_dpo = [place for place in steps if place > ends and isinstance(told[place].event, e.Step)]
    rest = left(fold(RunState(), told[: second_dpo[-3] + 1]), 600.0)
    scoring, pending = 4.0, fold(RunState(), told[: ends + 1]).topics[topic_id(0)].worked
    assert rest == pytest.approx(2 * 2.1 + scoring + pending)


def test_what_is_left_is_no_less_than_the_steps_will_take() -> None:
    state = last_topic("step")
    run = state.phase_of(state.current)
    assert run is not None and run.last is not None
    longer = structs.replace(state, phases=(*state.phases[:-1], structs.replace(run, steps=run.last.step + 1000)))
    assert left(longer) == pytest.approx(1000 * run.last.seconds)
    assert left(longer, 3600.0) is None, "it has taken longer than the others, and who knows for how long"


def test_a_topic_that_takes_longer_than_the_others_takes_nothing_from_those_that_wait() -> None:
    """With or without steps that are known to be left: nobody knows when it is over."""
    told = happy()
    starts = [place for place, record in enumerate(told) if isinstance(record.event, e.TopicStarted)]
    state = fold(RunState(), told[: starts[3] + 1])
    rows = outline(state.topics)
    mean = rows.trained_seconds / rows.trained
    assert rows.waiting == 2 and left(state, mean - 10.0) == pytest.approx(2 * mean + 10.0)
    assert left(state, mean + 50.0) is None
    in_sft = [place for place, record in enumerate(told) if getattr(record.event, "of", 0) == 36]
    assert left(fold(RunState(), told[: in_sft[-7] + 1]), mean) is None


NAME = "quick-20260110-092411"


def paused(cells: int) -> str:
    told = happy()
    told[0] = replace(told[0], event=replace(told[0].event, run=NAME))
    state = fold(RunState(), [*told, e.Record(len(told), told[-1].t, e.Paused("root@pts/0"))])
    return words(header(state, Liveness("alive", 0.0), Focus(), outline(state.topics), state.t, cells))


def test_who_paused_gives_way_before_name_and_topic() -> None:
    assert f"{NAME} · ‖ paused · topic 4/6" in paused(55)
    assert f"{NAME} · ‖ paused by root@pts/0 · topic 4/6" in paused(80)


def test_an_engine_that_is_paused_is_not_said_to_be_silent() -> None:
    state = fold(RunState(), happy())
    quiet = Liveness("silent", 120.0)
    assert "silent for 2 min" in words(timing(state, quiet, Focus(), outline(state.topics), state.t, True))
    state = fold(state, [e.Record(state.seq + 1, state.t, e.Paused("root@pts/0"))])
    assert "silent" not in words(timing(state, quiet, Focus(), outline(state.topics), state.t, True))


def test_a_retry_that_waits_is_time_that_is_left() -> None:
    state = fold(RunState(), happy())
    retry = e.CommandTaken("1", "retry", "done", "is trained again", topic_id(0))
    waits = fold(state, [e.Record(state.seq + 1, state.t, retry)])
    mean = outline(state.topics).trained_seconds / 3
    assert left(waits) == pytest.approx((left(state) or 0.0) + mean)
