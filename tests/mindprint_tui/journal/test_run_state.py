"""The fold: batches make no difference, what is void is gone, and what is unknown changes nothing."""

import itertools
import math
from collections.abc import Callable

import pytest
from golden import said
from hypothesis import given, settings
from hypothesis import strategies as st
from make import STORIES, happy, long, not_a_number, restarted, rolled_back

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from mindprint_tui.journal.fold import ENTRIES, PHASES, fold
from mindprint_tui.journal.loss_curve import BUCKETS, Series
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.focus import Focus, selected
from mindprint_tui.view.panes.chart import chart
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.text import about, sparkline, width

TOLD = {name: make() for name, make in STORIES.items() if name != "many"}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TOLD)), st.lists(st.integers(0, 400), max_size=12))
def test_batches_make_no_difference(name: str, cuts: list[int]) -> None:
    records = TOLD[name]
    places = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    state = RunState()
    for first, last in itertools.pairwise(places):
        state = fold(state, records[first:last])
    assert repr(state) == repr(fold(RunState(), records))  # repr: a NaN is not equal to itself


@pytest.mark.parametrize("make", [happy, rolled_back])
def test_earlier_states_stay_as_they_were(make: Callable[[], list[Record]]) -> None:
    records = make()
    half = fold(RunState(), records[: len(records) // 2])
    before = repr(half)
    fold(half, records[len(records) // 2 :])
    assert repr(half) == before


def test_unknown_and_empty_change_nothing_but_the_place() -> None:
    state = fold(RunState(), happy())
    assert fold(state, []) is state
    later = fold(state, [Record(9999, 5.0, e.Unknown("danced", "new"))])
    assert (later.topics, later.log, later.seq) == (state.topics, state.log, 9999)


def test_restored_steps_are_void() -> None:
    records = restarted()
    state = fold(RunState(), records)
    run = state.phase
    assert run is not None and run.last is not None
    assert run.last.step == 14
    assert len(run.loss.buckets) == 14
    rewound = fold(RunState(), records[:-4])
    assert rewound.phase is not None and rewound.phase.last is not None
    assert rewound.phase.last.step == 10
    assert state.restarts == 1 and state.died is None


def test_what_is_not_finite_is_counted_and_logged() -> None:
    state = fold(RunState(), not_a_number())
    run = state.phases[0]
    assert run.loss.bad == 1
    assert run.loss.span is not None and all(map(math.isfinite, run.loss.span))
    assert [failed.rule for _, failed in state.failures] == ["finite-loss"]
    assert any(isinstance(entry.event, e.Step) for entry in state.log)


def test_verdicts_are_tallied_once() -> None:
    topic = "u/c/t"
    done = [e.TopicFinished(topic, "error", "x", 1.0), e.TopicStarted(topic, 1, 1, 2)]
    state = fold(RunState(), [Record(i, 1.0, event) for i, event in enumerate(done)])
    assert state.tally == {"error": 0}
    assert state.topics[topic].attempt == 2
    state = fold(state, [Record(9, 1.0, e.TopicFinished(topic, "passed", "x", 1.0))])
    assert state.tally == {"error": 0, "passed": 1}


def test_repeated_warnings_are_counted() -> None:
    state = fold(RunState(), [Record(i, 1.0, e.Warned("k", "m", i)) for i in range(5)])
    assert [entry.count for entry in state.log] == [5]


def test_warnings_about_one_row_each_are_one_that_is_counted() -> None:
    cut = [e.Warned("cut", f"data/sft.jsonl:{row}: cut at model.max_length = 64 tokens", row) for row in range(600)]
    other = [e.Warned("curriculum", f"data/sft.jsonl:{row}: like row {row + 1}", row) for row in range(3)]
    decided = e.Decided("u/c/t", "keep", "combined 0.2 -> 0.6")
    state = fold(RunState(), [Record(i, 1.0, event) for i, event in enumerate((*cut, decided, *cut, *other))])
    kept, *warned = state.log
    assert kept.event == decided
    assert [entry.count for entry in warned] == [1200, 1, 1, 1]
    assert warned[0].event == cut[-1]


def test_memory_is_bounded() -> None:
    state = fold(RunState(), long(20_000))
    assert len(state.phases) <= PHASES
    assert len(state.log) <= ENTRIES


@given(st.integers(1, 5000), st.lists(st.floats(), min_size=1, max_size=300))
def test_spikes_survive(of: int, values: list[float]) -> None:
    series = Series(of).add((i, i * of // len(values) + 1, value) for i, value in enumerate(values))
    finite = [value for value in values if math.isfinite(value)]
    assert series.span == ((min(finite), max(finite)) if finite else None)
    assert series.bad == len(values) - len(finite)
    assert len(series.buckets) <= min(of, BUCKETS)


def test_a_series_forgets_what_came_after() -> None:
    series = Series(10).add((seq, seq, 1.0) for seq in range(1, 9))
    assert series.until(5) == Series(10).add((seq, seq, 1.0) for seq in range(1, 6))


def test_a_damaged_journal_leads_to_a_state_that_can_be_shown() -> None:
    """What the fuzzing of journals found: a topic that is not there, an id that is none, a title of two lines."""
    infos = (e.TopicInfo("a/b/c", "two\nlines", 1, 1, 1), e.TopicInfo("", "", 0, 0, 0))
    events = (e.CurriculumLoaded(infos, ()), e.PhaseStarted("no/such/topic", "sft", 2, 1, 1, 1))
    state = fold(RunState(), [Record(place, 1.0, event) for place, event in enumerate(events)])
    assert state.topics["a/b/c"].info.title == "two ⏎ lines"
    assert selected(state, Focus()) == "a/b/c"
    assert [row.id for row in outline(state.topics).rows] == ["a/b/c", ""]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [(1e308, -1e308), (5e-324, 1e308), (1e308,), (-1e308, 0.0), (5e-324,)])
def test_a_damaged_loss_is_drawn_on_the_edge(values: tuple[float, ...], log: bool) -> None:
    lines = chart(Series(5).add((i, i + 1, value) for i, value in enumerate(values)), 40, 4, log)
    assert [width(line) for line in lines] == [40] * 4


def test_a_score_that_is_not_finite_has_a_height() -> None:
    assert sparkline([0.5, float("inf"), float("nan"), -1e308], 4) == "▅█▁▁"


def test_a_time_that_is_none_is_a_dash() -> None:
    assert [about(seconds) for seconds in (float("nan"), float("inf"), 40.0, 1e7)] == ["–", "–", "40 s", "116 days"]


def test_the_progress_of_an_evaluation_is_one_line_of_the_log() -> None:
    told = [e.Preparing("scoring"), *(e.Preparing(f"{n} of 9 answers complete", True) for n in range(5))]
    state = fold(RunState(), said(*told, e.Warned("cut", "a row", 1), e.Preparing("6 of 9 answers complete", True)))
    assert [getattr(entry.event, "message", "") for entry in state.log] == [
        "scoring",
        "4 of 9 answers complete",
        "a row",
        "6 of 9 answers complete",
    ]
    assert state.preparing == "6 of 9 answers complete"
