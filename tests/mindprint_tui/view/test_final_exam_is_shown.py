"""The final exam on every page: beside the voice then, as a mean, as a map, and never of a model that is gone."""

import pytest
from golden import put
from msgspec.structs import replace
from story import Story, topic_id

from engine.contract.journal import events as e
from engine.contract.journal.log_lines import line as log_line
from engine.runtime.summary import summarize
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report import page
from mindprint_tui.report.comparison import compare, read_run
from mindprint_tui.report.gather import gather
from mindprint_tui.view.final_exam import lost, sentence
from mindprint_tui.view.focus import LOG, Focus
from mindprint_tui.view.header import condition, header, timing
from mindprint_tui.view.pages.comparison import table
from mindprint_tui.view.panes.log import log_lines
from mindprint_tui.view.panes.loss import loss_lines
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.topics import topic_lines
from mindprint_tui.view.panes.voice import voice_lines
from mindprint_tui.view.text import cell_len
from mindprint_tui.view.time_left import remaining

FIRST, SECOND = topic_id(0), topic_id(1)
EXAMINED = e.Examined(2, 4, 2, {"voice": (-0.185, -0.31, -0.06)}, (FIRST,), "0" * 16)
GONE = Liveness("gone", 0.0)


def trained() -> Story:
    story = Story("examined", 2)
    story.open()
    story.base()
    story.topic(0, 0.87, 0.80)
    story.topic(1, 0.70, None)
    return story


def examined(result: e.Examined = EXAMINED) -> Story:
    story = trained()
    story.score(0, "final", 0.43)
    story.score(1, "final", 0.70)
    story.say(result)
    story.finish(2, 1 if result.forgotten else 0)
    return story


def text(lines: list) -> list[str]:
    return ["".join(part for part, _ in line) for line in lines]


def state_of(story: Story) -> RunState:
    return fold(RunState(), story.records)


@pytest.mark.parametrize(
    ("cells", "shown"),
    [(40, "0.80 · now 0.43"), (76, "0.08→0.87→0.80 · now 0.43 passed"), (50, "0.87→0.80 · now 0.43 passed")],
)
def test_the_topic_list_has_the_voice_then_and_now(cells, shown):
    state = state_of(examined())
    lines = topic_lines(state, outline(state.topics), FIRST, cells, 10)
    first, second = text(lines)
    assert shown.replace(" → ", "→") in first.replace(" →", "→").replace("→ ", "→") and "Trim" in first
    assert "· now 0.70" in second
    assert max(map(cell_len, text(lines))) <= cells
    roles = [role for part, role in lines[0] if part == "0.43"]
    assert roles == ["warn"]  # forgotten
    assert [role for part, role in lines[1] if part == "0.70"][-1] == ""


def test_header_and_log_say_what_was_lost():
    state = state_of(examined())
    focus, places = Focus(pane=LOG), outline(state.topics)
    assert "voice lost 0.18 ± 0.12" in "".join(part for part, _ in header(state, GONE, focus, places, state.t, 120))
    assert "2/2 passed, 1 forgotten" in "".join(part for part, _ in timing(state, GONE, focus, places, state.t, True))
    assert "final exam: 2 topics answered by the final model; voice lost" in " ".join(
        text(log_lines(state, focus, 200, 50)[0])
    )
    assert lost(replace(EXAMINED, changes={"voice": (0.03, None, None)})) == "voice gained 0.03"
    assert sentence(replace(EXAMINED, changes={}, topics=1, forgotten=())) == (
        "final exam: 1 topic answered by the final model"
    )
    record = next(record for record in examined().records if isinstance(record.event, e.Examined))
    assert "voice_change=-0.185 voice_change_interval=-0.310..-0.060" in log_line(record)
    assert f"forgotten=1: {FIRST}" in log_line(record) and "WARNING" in log_line(record)


def test_the_header_says_when_the_exam_is_held():
    alive, story = Liveness("alive", 0.0), trained()
    state = state_of(story)
    assert condition(state, alive, Focus(), state.t)[0] == "final exam"
    story.say(EXAMINED)
    state = state_of(story)
    assert condition(state, alive, Focus(), state.t)[0] == "running"
    story.say(e.TopicStarted(FIRST, 1, 2, 2))
    state = state_of(story)
    assert condition(state, alive, Focus(), state.t)[0] == "running"


def test_the_voice_pane_has_the_stage():
    state = state_of(examined())
    lines = text(voice_lines(state, Focus(topic=FIRST), outline(state.topics), 100))
    assert any("before" in line and "DPO" in line and "final" in line for line in lines)


@pytest.mark.parametrize("whole", [True, False])
def test_a_topic_that_is_trained_again_takes_all_final_scores_away(whole):
    story = examined() if whole else trained()
    if not whole:
        story.score(0, "final", 0.43)  # an exam that was broken off
    story.say(e.EngineRestarted(None, None, 1))
    story.adapter(0, "sft", "rolled_back")
    state = state_of(story)
    assert state.examined is None and not any("final" in topic.scores for topic in state.topics.values())
    told = summarize(story.records, 130, "f", 1.0)
    assert told["exam"] is None and {row["final"] for row in told["topics"]} == {None}


def test_the_report_has_the_map_and_the_tile(tmp_path):
    html = page.render(gather(put(tmp_path / "examined", examined().records)))
    assert 'class="map"' in html and "--share: 43%" in html
    assert "voice lost 0.18 ± 0.12" in html and "forgotten: 1" in html
    html = page.render(gather(put(tmp_path / "trained", trained().records)))
    assert 'class="map"' not in html and "voice lost" not in html


def test_the_comparison_pairs_the_exams_where_all_runs_have_one(tmp_path):
    both = [read_run(put(tmp_path / name, examined().records)) for name in ("one", "two")]
    found = compare(both)
    assert found["paired"]["stage"] == "final"
    assert [cell["final"]["voice"] for cell in found["topics"][0]["runs"]] == [0.43, 0.43]
    assert found["runs"][0]["exam"]["forgotten"] == (FIRST,)
    lines = table(found, 120)
    assert any(line.startswith("final") for line in lines) and any(line.startswith("at end") for line in lines)
    mixed = compare([both[0], read_run(put(tmp_path / "three", trained().records))])
    assert mixed["paired"]["stage"] == "at_end" and mixed["topics"][0]["runs"][1]["final"] is None


def test_the_time_left_has_the_exam_in_it():
    story = trained()
    state = state_of(story)
    exam = sum(topic.scores["before"].seconds for topic in state.topics.values())
    assert remaining(state, outline(state.topics), state.t) == pytest.approx(exam)
    story.say(e.Preparing("final exam: 2 topics answered by the final model"), 3.0)
    state = state_of(story)
    assert remaining(state, outline(state.topics), state.t) == pytest.approx(exam - 3.0)
    story.topic(1, 0.7, None)  # one more, of which nothing else changes
    assert remaining(state_of(examined()), outline(state_of(examined()).topics), story.t) is None


def test_replayed_rows_are_announced_where_a_phase_begins(tmp_path):
    story = trained()
    story.say(e.PhaseStarted(SECOND, "sft", 12, 12, 1200, 3600, replayed=4))
    shown = text(loss_lines(state_of(story), Focus(), 100, 12))
    assert "12 steps on 12 rows, 4 replayed" in shown[0]
    assert "12, 4 of them replayed" in page.render(gather(put(tmp_path / "replayed", story.records)))
