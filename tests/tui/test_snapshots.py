"""Pictures of the screens from golden journals, at the sizes that people have."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Open
from textual.pilot import Pilot

from engine.contract.rundir import RunDir
from mindprint_tui.app import MindprintApp
from mindprint_tui.screens.train import TrainScreen

SMALL, USUAL, WIDE, TINY = (80, 24), (120, 40), (200, 60), (60, 20)
Picture = Callable[..., bool]


def press(*keys: str) -> Callable[[Pilot[None]], Any]:
    """Waits until the journal is read and painted, then presses keys."""

    async def before(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, MindprintApp)
        screen = app.screen
        while isinstance(screen, TrainScreen) and (app.state.seq < 0 or screen.look.progress < 1.0):
            await pilot.pause(0.05)
        await pilot.pause(0.7)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.05)
        await pilot.pause(0.3)

    return before


@pytest.mark.parametrize("size", [TINY, SMALL, USUAL, WIDE], ids=str)
def test_happy(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    assert snap_compare(console("happy"), terminal_size=size, run_before=press())


@pytest.mark.parametrize(("size", "key"), [(TINY, "2"), (TINY, "4"), (SMALL, "3"), (SMALL, "5")], ids=str)
def test_one_pane_at_a_time(snap_compare: Picture, console: Open, size: tuple[int, int], key: str) -> None:
    assert snap_compare(console("happy"), terminal_size=size, run_before=press(key))


@pytest.mark.parametrize("name", ["finished", "not-a-number", "rolled-back", "restarted", "hostile", "many"])
def test_stories(snap_compare: Picture, console: Open, name: str) -> None:
    alive = name not in ("finished", "rolled-back")
    assert snap_compare(console(name, alive), terminal_size=USUAL, run_before=press())


@pytest.mark.parametrize("name", ["not-a-number", "hostile"])
def test_small_stories(snap_compare: Picture, console: Open, name: str) -> None:
    assert snap_compare(console(name), terminal_size=TINY, run_before=press("3"))


@pytest.mark.parametrize("size", [SMALL, USUAL], ids=str)
def test_samples(snap_compare: Picture, console: Open, size: tuple[int, int]) -> None:
    assert snap_compare(console("rolled-back", False), terminal_size=size, run_before=press("home", "enter"))


def test_hostile_samples(snap_compare: Picture, console: Open) -> None:
    assert snap_compare(console("hostile"), terminal_size=USUAL, run_before=press("home", "enter"))


def test_runs(snap_compare: Picture, console: Open, story: Callable[[str], RunDir]) -> None:
    for name in ("happy", "finished", "rolled-back"):
        story(name)
    assert snap_compare(console(""), terminal_size=SMALL, run_before=press())


def test_nothing_to_see(snap_compare: Picture, console: Open) -> None:
    assert snap_compare(console(""), terminal_size=SMALL, run_before=press())


def test_help(snap_compare: Picture, console: Open) -> None:
    assert snap_compare(console("happy"), terminal_size=USUAL, run_before=press("question_mark"))


@pytest.mark.parametrize("theme", ["light", "no color"])
def test_colours(snap_compare: Picture, console: Open, monkeypatch: pytest.MonkeyPatch, theme: str) -> None:
    if theme == "no color":
        monkeypatch.setenv("NO_COLOR", "1")
    keys = ("t", "t") if theme == "light" else ()
    assert snap_compare(console("rolled-back", False), terminal_size=USUAL, run_before=press(*keys))
