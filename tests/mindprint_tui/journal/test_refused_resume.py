"""A run that was refused when it was resumed, and then went on: the refusal is told until an engine goes on."""

from pathlib import Path

import pytest
from golden import put
from make import finished

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.log_lines import line
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report.comparison import compare, read_run
from mindprint_tui.tui.app import MindprintApp
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.header import condition
from mindprint_tui.view.notices import banner
from mindprint_tui.view.pages.runs import RunRow, condition_of
from mindprint_tui.view.panes.log import words

SENTENCE = "config.yaml: sft.rank: found 4, but the run began with 8"
GONE = Liveness("gone", 0.0)


def told(*later: e.Event) -> list[Record]:
    """A run whose engine was gone before the end, and what was said then."""
    records = finished()[:-1]
    for event in (e.Failed("input", SENTENCE, ""), *later):
        records.append(Record(records[-1].seq + 1, records[-1].t + 1.0, event))
    return records


def loud(state: RunState, live: Liveness) -> str:
    return "".join(text for line in banner(state, live, Focus(), state.t, 120) for text, _ in line)


def test_a_refusal_is_the_last_word_until_an_engine_goes_on() -> None:
    refused = fold(RunState(), told())
    assert SENTENCE in loud(refused, GONE)
    assert condition(refused, GONE, Focus(), refused.t)[0] == "✗ failed"
    assert condition_of(RunRow("run", refused, GONE))[0] == "! refused"
    for event in (e.EngineRestarted(None, None, 1), e.RunStarted("run", "keeper", 0, 1, {})):
        state = fold(RunState(), told(event))
        assert loud(state, Liveness("alive", 0.0)) == ""
        assert "The engine is gone" in loud(state, GONE) and SENTENCE not in loud(state, GONE)
        assert condition(state, GONE, Focus(), state.t)[0] == "engine gone"
        assert condition_of(RunRow("run", state, GONE))[0] == "✗ died"
    assert [failed.message for _, failed in state.failures] == [SENTENCE]


def test_what_ended_a_topic_is_told_after_a_restart_too() -> None:
    failed = e.Failed("topic sft", "two steps were not finite", "", "topic", "sft", "finite-steps")
    state = fold(RunState(), told(failed, e.EngineRestarted(None, None, 1)))
    assert "finite-steps" in loud(state, Liveness("alive", 0.0))


def test_a_run_that_a_person_started_again_had_stopped_or_finished() -> None:
    """Neither log says where it goes on, which a run that was over does nowhere, nor calls it an error."""
    again = Record(9, 0.0, e.EngineRestarted(None, None, 1))
    assert words(RunState(), again.event) == ("the run was started again", "accent")
    assert (line(again) or "").endswith(" INFO the run was started again")
    died = Record(9, 0.0, e.EngineRestarted(None, "SIGKILL", 1))
    assert " ERROR engine restarted status=None signal=SIGKILL" in (line(died) or "")


@pytest.mark.parametrize("goes_on", [False, True])
async def test_what_the_shell_is_told(tmp_path: Path, goes_on: bool) -> None:
    later = (e.EngineRestarted(None, None, 1), e.RunFinished(3, 3, 0, "f", 9.0)) if goes_on else ()
    run = put(tmp_path / "run", told(*later))
    app = MindprintApp(run, tmp_path)
    async with app.run_test() as pilot:
        while not app.drained:
            await pilot.pause(0.01)
    assert (app.error, app.status) == ((None, 0) if goes_on else (SENTENCE, None))
    warned = " ".join(compare([read_run(run)])["warnings"])
    assert (SENTENCE in warned) is not goes_on
