"""Every view of a state, as the screens compose them, at a size that is drawn at random."""

import random
from collections.abc import Iterable

from engine.contract.journal.events import Sample
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report.comparison import compare, dump, read_run
from mindprint_tui.report.gather import gather
from mindprint_tui.report.page import render
from mindprint_tui.view.focus import Focus, OpenRequest, selected, with_answers
from mindprint_tui.view.footer import why_disabled
from mindprint_tui.view.header import header, second, timing
from mindprint_tui.view.notices import banner, notice
from mindprint_tui.view.pages import comparison as compare_view
from mindprint_tui.view.pages.runs import RunRow, run_line
from mindprint_tui.view.pages.samples import plain, questions, sample_lines
from mindprint_tui.view.panes.adapter import adapter_lines
from mindprint_tui.view.panes.log import log_lines
from mindprint_tui.view.panes.loss import loss_lines, loss_title
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.topics import topic_lines
from mindprint_tui.view.panes.voice import voice_lines, voice_title
from mindprint_tui.view.text import Line

KEYS = ("pause", "skip", "reevaluate", "retry", "samples", "follow", "log_scale", "stop")


def everything(state: RunState, live: Liveness, rng: random.Random) -> None:
    """Draws the train screen and the run's line in the list of runs."""
    cells, height = rng.choice([20, 60, 100, 200]), rng.choice([1, 8, 40])
    asked = tuple(OpenRequest(id, "pause", None, state.t) for id in list(state.answers)[:2])
    focus = Focus(pane=rng.randint(1, 5), scroll=rng.choice([0, 3]), log_scale=rng.random() < 0.5, asked=asked)
    focus = with_answers(state, focus)
    rows, now = outline(state.topics), state.t + 1
    drawn: list[Line] = [
        header(state, live, focus, rows, now, cells),
        timing(state, live, focus, rows, now, True),
        second(state, focus, rows, cells),
        notice(state, live, focus, now, cells),
        *banner(state, live, focus, now, cells),
        *topic_lines(state, rows, selected(state, focus), cells, height),
        *voice_lines(state, focus, rows, cells),
        *loss_lines(state, focus, cells, height),
        *adapter_lines(state, cells),
        *log_lines(state, focus, cells, height)[0],
        run_line(RunRow("run", state, live), now, cells, False),
    ]
    require_clean(drawn)
    assert isinstance(voice_title(state, focus) + loss_title(state, focus), str)
    for key in KEYS:
        why_disabled(key, state, live, focus)


def answers(samples: Iterable[Sample]) -> None:
    for question in questions(samples):
        require_clean(sample_lines(question, 80, {}))
        plain(question)


def after(run: RunDir) -> None:
    """What is made of a run that is over: its row in a comparison, and its page."""
    table = compare([read_run(run)] * 2)
    dump(table)
    compare_view.table(table, 100)
    render(gather(run))


def require_clean(lines: Iterable[Line]) -> None:
    """No character reaches the terminal that it would obey."""
    for line in lines:
        for text, _ in line:
            assert all(c >= " " and not "\x7f" <= c <= "\x9f" for c in text), repr(text)
