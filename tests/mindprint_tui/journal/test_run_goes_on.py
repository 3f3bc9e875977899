"""A run that stops, dies and goes on: its state, its clock and its thresholds are those of now."""

import pytest
from make import finished, happy
from msgspec.structs import replace
from story import topic_id

from engine.contract.journal import events as e
from engine.contract.journal.judge_file import Judgement
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report import page
from mindprint_tui.report.gather import TopicDetail
from mindprint_tui.view.focus import Focus, OpenRequest, state_to_show, with_answers
from mindprint_tui.view.footer import why_disabled
from mindprint_tui.view.header import STARTING, header, timing
from mindprint_tui.view.notices import banner, notice
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.voice import voice_lines

ALIVE, GONE = Liveness("alive", 0.0), Liveness("gone", 0.0)
RUNNING = topic_id(3)
STOP = e.CommandTaken("q", "stop", "done", "stopping with a checkpoint")
STOPPED, FULL = e.RunFinished(2, 6, 130, "f", 9.0), e.Failed("disk", "the disk is full", "")
KILLED = e.EngineDied(None, "SIGKILL", 1)


def told(*events: e.Event) -> RunState:
    """A run in the middle of its fourth topic, and what was said then."""
    return later(fold(RunState(), happy()), *events)


def later(state: RunState, *events: e.Event, seconds: float = 1.0) -> RunState:
    records = [e.Record(state.seq + n, state.t + n * seconds, event) for n, event in enumerate(events, 1)]
    return fold(state, records)


def head(state: RunState, focus: Focus = Focus(), live: Liveness = ALIVE, after: float = 0.0) -> str:  # noqa: B008
    rows = outline(state.topics)
    parts = (
        header(state, live, focus, rows, state.t + after, 110),
        timing(state, live, focus, rows, state.t + after, True),
    )
    return "".join(text for line in parts for text, _ in line)


def loud(state: RunState, focus: Focus = Focus(), live: Liveness = ALIVE, after: float = 0.0) -> str:  # noqa: B008
    return "".join(text for line in banner(state, live, focus, state.t + after, 110) for text, _ in line)


# Stopping, and dying.


def test_a_run_that_was_stopped_is_stopping_until_it_has_ended() -> None:
    """The engine answers before it writes the checkpoint; whoever asked, and wherever."""
    asked = Focus(asked=(OpenRequest("q", "stop", None, 0.0),))
    for focus in (Focus(), asked):
        assert "stopping…" in head(told(STOP), with_answers(told(STOP), focus)) and "left" not in head(told(STOP))
    assert "stopping…" in head(told(e.Paused("me@pts/0"), STOP))
    assert "stopped by a person" in head(told(STOP, STOPPED))
    assert "✗ failed" in head(told(STOP, FULL))
    refused = e.CommandTaken("q", "stop", "refused", "asked before this engine was started")
    assert "running" in head(told(refused))


def test_a_stop_outlives_the_engine_that_took_it_and_not_the_person_who_resumes() -> None:
    again = e.EngineRestarted(None, "SIGKILL", 1)
    assert "stopping…" in head(told(STOP, KILLED, again))
    by_hand = e.EngineRestarted(None, None, 1)
    assert "running" in head(told(STOP, STOPPED, by_hand)) and "running" in head(told(STOP, by_hand))


def test_an_engine_that_is_started_again_is_not_running() -> None:
    assert "restarting…" in head(told(KILLED))
    assert "running · topic 4/6 · restarted ×1" in head(told(KILLED, e.EngineRestarted(None, "SIGKILL", 1)))


def test_an_engine_that_died_before_the_run_s_first_event_was_started_again() -> None:
    """OOM while a course is read: what comes next says run_started, and no engine_restarted."""
    records = [e.Record(0, happy()[0].t - 5.0, KILLED), *(replace(r, seq=r.seq + 1) for r in happy())]
    begun = fold(RunState(), records[:1])
    assert "restarting…" in head(begun) and "The engine died (SIGKILL)" in loud(begun)
    state = fold(RunState(), records)
    assert loud(state) == "" and "restarted ×1" in head(state) and "running" in head(state)


# An engine that this console has just started.


@pytest.mark.parametrize("ends", [(), (STOPPED,), (FULL,), (replace(KILLED, attempt=3), FULL)])
@pytest.mark.parametrize("live", [ALIVE, GONE, Liveness("silent", 3600.0)], ids=lambda live: live.word)
def test_a_run_that_is_resumed_here_is_starting_until_its_engine_says_a_word(ends, live: Liveness) -> None:
    state = told(*ends)
    focus = Focus(past=state.seq, opened=state.t + 3600.0)
    shown = state_to_show(state, focus)
    assert "happy" in head(shown, focus, live, 3601.0) and "starting…" in head(shown, focus, live, 3601.0)
    assert loud(shown, focus, live, 3601.0) == ""
    for untrue in ("✗", "running", "passed", "01:0", "silent"):
        assert untrue not in head(shown, focus, live, 3601.0)
    said = "".join(text for text, _ in notice(shown, live, focus, state.t + 3601.0, 110))
    assert said == " starting the engine…"
    assert why_disabled("pause", shown, live, focus) == ("no engine is there yet" if live is GONE else "")
    spoke = later(state, e.EngineRestarted(None, None, 1))
    assert "running" in head(state_to_show(spoke, focus), focus)


def test_a_resumed_run_that_nobody_holds_is_not_starting_for_ever() -> None:
    state = told(STOPPED)
    focus = Focus(past=state.seq, opened=0.0)
    shown = state_to_show(state, focus)
    assert "engine gone" in head(shown, focus, GONE, STARTING) and "--resume happy" in loud(
        shown, focus, GONE, STARTING
    )


def test_why_a_resumed_run_was_refused_is_told() -> None:
    state = told(STOPPED)
    focus = Focus(past=state.seq)
    state = later(state, e.Failed("input", "row 7 is torn", ""))
    assert "row 7 is torn" in loud(state_to_show(state, focus), focus) and "stopped by a person" in head(
        state, focus, GONE
    )


# The clock.


def test_the_clock_of_the_header_leaves_out_the_time_without_an_engine_and_no_pause() -> None:
    state = told()
    worked = state.t - state.began
    state = later(state, STOPPED, seconds=0.0)
    state = later(state, e.EngineRestarted(None, None, 1), seconds=2 * 86400.0)
    state = later(state, e.Paused("me@pts/0"), e.Resumed("me@pts/0"), seconds=30.0)
    state = later(state, e.RunFinished(6, 6, 0, "f", worked + 60.0, paused_seconds=30.0), seconds=0.0)
    assert state.spent.at(state.t) == pytest.approx(worked + 60.0)
    assert "00:05:46" in head(state, live=GONE)


# Thresholds that were changed between two engines.

SETTINGS = {"thresholds": {"accuracy": 0.5, "voice": 0.4, "dpo_trigger": 0.75}}


def voice(state: RunState, topic: str) -> str:
    lines = voice_lines(state, Focus(topic), outline(state.topics), 80)
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_after_a_resume_scores_are_held_to_the_thresholds_of_now() -> None:
    again = told(STOPPED, e.EngineRestarted(None, None, 1, SETTINGS))
    assert "needs 0.40" in voice(again, RUNNING) and "pass 0.40" in voice(again, RUNNING)
    assert "needs 0.60" in voice(again, topic_id(1)), "its verdict was another one's"
    done = later(again, e.TopicFinished(RUNNING, "passed", "voice 0.66; needed 0.5 and 0.4", 9.0))
    assert "needs 0.40" in voice(done, RUNNING)
    assert "needs 0.40" in voice(later(done, e.TopicStarted(topic_id(1), 2, 6, 2)), topic_id(1))


def test_an_engine_of_before_says_nothing_of_its_settings() -> None:
    assert "needs 0.60" in voice(told(STOPPED, e.EngineRestarted(None, None, 1)), RUNNING)


def test_the_report_holds_each_topic_to_its_own_thresholds() -> None:
    state = told(STOPPED, e.EngineRestarted(None, None, 1, SETTINGS))
    first, fourth = (
        page._detail(
            state.topics[topic], TopicDetail(), state.topics[topic].held_to or state.settings("thresholds"), Judgement()
        )
        for topic in (topic_id(0), RUNNING)
    )
    assert ("voice", "needs 0.60") in [(name, needs) for name, _, needs in first["table"]]
    assert ("voice", "needs 0.40") in [(name, needs) for name, _, needs in fourth["table"]]


def test_a_finished_run_is_looked_at_as_before() -> None:
    state = fold(RunState(), finished())
    assert state_to_show(state, Focus()) is state and "finished" in head(state, live=GONE)
