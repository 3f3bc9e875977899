"""Pictures of every screen from golden journals, at the sizes that people have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden import Open
from textual.pilot import Pilot

from engine.contract.run_folder.folder import RunDir
from mindprint_tui.tui.app import MindprintApp
from mindprint_tui.tui.screens.base import BaseScreen
from mindprint_tui.tui.screens.runs import RunsScreen
from mindprint_tui.tui.screens.samples import SamplesScreen
from mindprint_tui.tui.screens.train import TrainScreen

SMALL, USUAL, WIDE, TINY = (80, 24), (120, 40), (200, 60), (60, 20)
SIZES = (TINY, SMALL, USUAL, WIDE)
STORIES = ("happy", "not-a-number", "rolled-back", "collapsed", "restarted", "hostile", "many", "learned")
OVER = ("finished", "rolled-back", "learned")  # stories whose engine has ended
Picture = Callable[..., bool]


def whole(app: MindprintApp) -> bool:
    """Whether the screen has read all that it shows."""
    screen = app.screen
    if isinstance(screen, SamplesScreen):
        return screen.whole
    if isinstance(screen, RunsScreen):
        return screen.whole
    return not isinstance(screen, TrainScreen) or (app.state.seq >= 0 and app.drained)


def press(*keys: str) -> Callable[[Pilot[None]], Any]:
    """Presses keys, each when everything is read, and paints the last time what is true then."""

    async def before(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, MindprintApp)
        for key in (*keys, ""):
            await pilot.pause()
            while not whole(app):
                await pilot.pause(0.01)
            if key:
                await pilot.press(key)
        if isinstance(app.screen, TrainScreen):
            app.paint(1.0)
        elif isinstance(app.screen, BaseScreen):
            app.screen.paint()
        await pilot.pause()

    return before


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", STORIES)
def test_train(snap_compare: Picture, console: Open, name: str, size: tuple[int, int]) -> None:
    assert snap_compare(console(name, name not in OVER), terminal_size=size, run_before=press())


@pytest.mark.parametrize(("size", "key"), [(TINY, "2"), (TINY, "3"), (TINY, "4"), (TINY, "5"), (SMALL, "4")], ids=str)
def test_one_pane_at_a_time(snap_compare: Picture, console: Open, size: tuple[int, int], key: str) -> None:
    assert snap_compare(console("happy"), terminal_size=size, run_before=press(key))


@pytest.mark.parametrize("name", ["not-a-number", "hostile"])
def test_a_broken_rule_in_a_small_terminal(snap_compare: Picture, console: Open, name: str) -> None:
    assert snap_compare(console(name), terminal_size=TINY, run_before=press("3"))


@pytest.mark.parametrize("size", [TINY, USUAL], ids=str)
def test_a_finished_run_stays_with_its_result(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    assert snap_compare(console("finished", False), terminal_size=size, run_before=press())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["rolled-back", "hostile"])
def test_samples(snap_compare: Picture, console: Open, name: str, size: tuple[int, int]) -> None:
    assert snap_compare(console(name, name not in OVER), terminal_size=size, run_before=press("home", "enter"))


@pytest.mark.parametrize("size", [SMALL, USUAL], ids=str)
def test_answers_show_what_made_their_scores(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    """The topic whose SFT was rolled back: an echo that is void, a loop, and clauses that tell the voice."""
    keys = ("home", "down", "down", "enter", "n", "n")
    assert snap_compare(console("learned", False), terminal_size=size, run_before=press(*keys))


@pytest.mark.parametrize("size", [TINY, SMALL, USUAL], ids=str)
def test_the_learned_scores_of_a_topic(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    keys = ("4", "home", "down") if size != USUAL else ("home", "down")
    assert snap_compare(console("learned", False), terminal_size=size, run_before=press(*keys))


def test_texts_that_do_not_tell_the_voice(snap_compare: Picture, console: Open) -> None:
    assert snap_compare(console("not-separable", False), terminal_size=USUAL, run_before=press("home"))


def test_samples_of_a_later_topic_have_a_start(snap_compare: Picture, console: Open) -> None:
    assert snap_compare(console("happy"), terminal_size=USUAL, run_before=press("home", "down", "enter"))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_runs(snap_compare: Picture, console: Open, story: Callable[[str], RunDir], size: tuple[int, int]) -> None:
    for name in ("happy", "finished", "rolled-back", "hostile"):
        story(name)
    assert snap_compare(console(""), terminal_size=size, run_before=press())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nothing_to_see(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    assert snap_compare(console(""), terminal_size=size, run_before=press())


@pytest.mark.parametrize("size", [TINY, SMALL], ids=str)
def test_first_screen(snap_compare: Picture, size: tuple[int, int], story: Callable[[str], RunDir]) -> None:
    story("happy")
    assert snap_compare(MindprintApp(None, Path("logs"), first=True), terminal_size=size, run_before=press("down"))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_help(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    assert snap_compare(console("happy"), terminal_size=size, run_before=press("question_mark"))


@pytest.mark.parametrize("theme", ["light", "no color"])
def test_colours(snap_compare: Picture, console: Open, monkeypatch: pytest.MonkeyPatch, theme: str) -> None:
    if theme == "no color":
        monkeypatch.setenv("NO_COLOR", "1")
    keys = ("t", "t") if theme == "light" else ()
    assert snap_compare(console("rolled-back", False), terminal_size=USUAL, run_before=press(*keys))
