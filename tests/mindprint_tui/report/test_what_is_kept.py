"""What is kept of a topic: console, report, comparison and summary.json read the same in the same journal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from golden import put
from make import write
from story import Story, topic_id

from engine.contract.journal import events as e
from engine.contract.journal.store import read_journal
from engine.contract.vocabulary import PHASES, STAGES
from engine.runtime.summary import summarize
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.headline import headline
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report import head, page
from mindprint_tui.report.comparison import compare, read_run
from mindprint_tui.report.gather import gather
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.pages.runs import RunRow, run_line
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.voice import voice_lines

TOPIC = topic_id(0)


def skipped(story: Story) -> None:
    """A skip was taken when DPO had been scored: its adapter came off, and SFT had been fused before."""
    story.adapter(0, "sft", "fused", True, 0.8)
    story.phase(0, "dpo", 4)
    story.score(0, "dpo", 0.9)
    story.adapter(0, "dpo", "detached", True)
    story.say(e.TopicFinished(TOPIC, "skipped", "skipped by keeper@pts/3", 9.0))


def skipped_shared(story: Story) -> None:
    """The same where DPO had gone on with the adapter of SFT."""
    story.phase(0, "dpo", 4)
    story.score(0, "dpo", 0.9)
    story.adapter(0, "dpo", "detached", True)
    story.say(e.TopicFinished(TOPIC, "skipped", "skipped by keeper@pts/3", 9.0))


def failed_shared(story: Story) -> None:
    """An error in DPO took the adapter off that SFT had made."""
    story.phase(0, "dpo", 4, 2)
    story.say(e.Failed(f"{TOPIC} dpo", "two steps were not finite", "", TOPIC, "dpo", "finite-steps"))
    story.adapter(0, "dpo", "rolled_back", True)
    story.say(e.TopicFinished(TOPIC, "error", "two steps were not finite", 9.0))


def undone_shared(story: Story) -> None:
    """DPO was put back to what SFT had made of the adapter, and that was committed."""
    story.phase(0, "dpo", 4)
    story.score(0, "dpo", 0.1)
    story.adapter(0, "dpo", "rolled_back", True)
    story.adapter(0, "sft", "fused", True, 0.8)
    story.say(e.TopicFinished(TOPIC, "below_threshold", "voice 0.40; needed 0.6", 9.0))


def kept_shared(story: Story) -> None:
    """DPO and the SFT inside it were committed as one."""
    story.phase(0, "dpo", 4)
    story.score(0, "dpo", 0.9)
    story.adapter(0, "dpo", "fused", True, 0.8)
    story.say(e.TopicFinished(TOPIC, "passed", "voice 0.90; needed 0.6", 9.0))


ENDS: dict[Callable[[Story], None], tuple[float, str | None, dict[str, str]]] = {  # final voice, kept, not kept
    skipped: (0.4, "sft", {"dpo": "detached"}),
    skipped_shared: (0.25, None, {"sft": "not kept", "dpo": "detached"}),
    failed_shared: (0.25, None, {"sft": "not kept", "dpo": "rolled back"}),
    undone_shared: (0.4, "sft", {"dpo": "rolled back"}),
    kept_shared: (0.9, "dpo", {}),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_kept_is_the_same_wherever_it_is_read(tmp_path: Path, end: Callable[[Story], None]) -> None:
    voice, kept, undone = ENDS[end]
    story = Story(end.__name__, 1)
    story.open()
    story.base()
    story.say(e.TopicStarted(TOPIC, 1, 1))
    story.score(0, "start", 0.25)
    story.phase(0, "sft", 4)
    story.score(0, "sft", 0.4)
    end(story)
    story.finish(0, 1)
    run = put(tmp_path / end.__name__, story.records)

    summary = summarize(story.records, 1, "", 1.0)
    assert summary["topics"][0]["at_end"]["voice"] == voice
    state = fold(RunState(), story.records)
    topic = state.topics[TOPIC]
    assert outline(state.topics).trend == [voice]
    tiles = {name: (value, note) for name, value, note in head.tiles(gather(run))}
    assert tiles["mean voice"][0] == f"{voice:.2f}"
    dpo = summary["dpo"]
    note = f"{dpo['rolled_back']} rolled back, of {dpo['ran']} topics where it ran"
    assert tiles["DPO"] == (f"{dpo['kept']} kept", note)
    cell = compare([read_run(run)])["topics"][0]["runs"][0]
    assert cell["kept"] == kept
    if topic.verdict in ("passed", "below_threshold"):
        assert cell["at_end"]["voice"] == voice
    shown = page.render(gather(run))
    for stage in PHASES:
        struck = f'class="value {STAGES[stage].colour} back"' in shown
        assert struck == (stage in undone and stage in topic.scores), stage
        assert (f'<span class="warn">{undone.get(stage)}</span>' in shown) == struck, stage
    assert topic.at_end is not None and topic.at_end.voice == voice
    assert topic.undone == undone


@pytest.mark.parametrize("name", ["happy", "finished", "rolled-back", "collapsed"])
def test_one_number_for_a_run_wherever_it_stands(tmp_path: Path, name: str) -> None:
    """Report, list of runs, voice pane and summary.json: the mean over the finished topics, and they say so."""
    run = write(name, tmp_path)
    records = read_journal(run.journal)
    state, summary = fold(RunState(), records), summarize(records, 1, "", 1.0)
    mean = headline(state.topics.values())
    assert mean.voice is not None and mean.accuracy is not None
    assert summary["mean"]["at_end"]["voice"] == pytest.approx(mean.voice, abs=1e-4)
    assert summary["mean"]["at_end"]["accuracy"] == pytest.approx(mean.accuracy, abs=1e-4)
    tiles = {name: (value, note) for name, value, note in head.tiles(gather(run))}
    assert tiles["mean voice"][0] == f"{mean.voice:.2f}"
    assert tiles["mean voice"][1].startswith(f"over {mean.topics} finished topic")
    row = "".join(text for text, _ in run_line(RunRow(name, state), 0.0, 120, False))
    assert f" {mean.voice:.2f} of {mean.topics} " in row
    rows = outline(state.topics)
    trend = "".join(text for text, _ in voice_lines(state, Focus(), rows, 80)[0])
    assert trend.startswith(f"mean of {mean.topics} finished {mean.voice:.2f} ")
