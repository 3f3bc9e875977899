"""Each key of the table does on each of its screens what the table says; a key without an entry here fails."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from golden import NOW, Open
from textual.pilot import Pilot

from engine.contract.run_folder.commands import Command, parse
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.keys import Screen, keys_of
from mindprint_tui.tui.app import MindprintApp
from mindprint_tui.tui.screens.first import FirstScreen
from mindprint_tui.tui.screens.help import HelpScreen
from mindprint_tui.tui.screens.runs import RunsScreen
from mindprint_tui.tui.screens.samples import SamplesScreen
from mindprint_tui.tui.screens.train import TrainScreen
from mindprint_tui.tui.widgets.pane import Pane
from mindprint_tui.view.focus import Focus

FIRST, LAST = "unit-01/chapter-01/topic-01", "unit-01/chapter-02/topic-03"
FIFTH, RUNNING = "unit-01/chapter-02/topic-02", "unit-01/chapter-02/topic-01"
FAR = 10**6
SCROLLS = SamplesScreen | HelpScreen | RunsScreen | FirstScreen


class Effect(NamedTuple):
    """Keys that come before, and what is true after the key but was not before it."""

    before: tuple[str, ...]
    holds: Callable[[MindprintApp], bool]


def look(app: MindprintApp) -> Focus:
    screen = app.screen
    assert isinstance(screen, TrainScreen)
    return screen.look


def asked(kind: str, topic: str | None = None) -> Callable[[MindprintApp], bool]:
    """The command stands in commands.jsonl, with its topic, and is shown as asked."""

    def holds(app: MindprintApp) -> bool:
        assert app.run_dir is not None
        path = app.run_dir.commands
        found = [parse(line, 0) for line in path.read_bytes().splitlines()] if path.exists() else []
        wanted = [(one.kind, one.topic) for one in found if isinstance(one, Command)]
        return wanted == [(kind, topic)] == [(one.kind, one.topic) for one in look(app).asked]

    return holds


def back(app: MindprintApp) -> int:
    """How many phases before the latest one the curve is of."""
    curve, latest = look(app).curve, app.state.phase
    assert latest is not None
    return 0 if curve is None else latest.number - curve


def on(screen: type) -> Callable[[MindprintApp], bool]:
    return lambda app: isinstance(app.screen, screen)


def left(app: MindprintApp) -> bool:
    return app.return_code is not None


def at(topic: str) -> Callable[[MindprintApp], bool]:
    return lambda app: look(app).topic == topic


def pane(number: int) -> Callable[[MindprintApp], bool]:
    return lambda app: (
        [shown.id for shown in app.screen.query(Pane) if shown.active]
        == [("topics", "loss", "adapter", "voice", "log")[number - 1]]
    )


def row(number: int) -> Callable[[MindprintApp], bool]:
    """The first line in sight, or the cursor, of a screen that scrolls."""
    return lambda app: isinstance(app.screen, SCROLLS) and app.screen.place == number


def below(number: int) -> Callable[[MindprintApp], bool]:
    return lambda app: isinstance(app.screen, SCROLLS) and app.screen.place > number


def question(number: int) -> Callable[[MindprintApp], bool]:
    return lambda app: isinstance(app.screen, SamplesScreen) and app.screen.question == number


SCROLLING = {
    "up": Effect(("down", "down"), row(1)),
    "k": Effect(("down", "down"), row(1)),
    "down": Effect((), row(1)),
    "j": Effect((), row(1)),
    "pageup": Effect(("down",), row(0)),
    "pagedown": Effect((), below(1)),
    "home": Effect(("end",), row(0)),
    "g": Effect(("end",), row(0)),
    "end": Effect((), below(1)),
    "G": Effect((), below(1)),
    "t": Effect((), lambda app: app.theme == "textual-dark"),
    "m": Effect((), lambda app: app.mouse_lent),
    "question_mark": Effect((), on(HelpScreen)),
    "q": Effect((), left),
    "ctrl+c": Effect((), left),
}
EFFECTS: dict[Screen, dict[str, Effect]] = {
    "train": {
        "p": Effect((), asked("pause")),
        "s": Effect(("end",), asked("skip", LAST)),
        "e": Effect(("home",), asked("reevaluate", FIRST)),
        "r": Effect(("home",), asked("retry", FIRST)),
        "K": Effect(("home",), asked("keep", FIRST)),
        "enter": Effect((), on(SamplesScreen)),
        "slash": Effect((), lambda app: look(app).typing),
        "f": Effect(("end",), lambda app: look(app).topic is None),
        "l": Effect((), lambda app: look(app).log_scale),
        "left_square_bracket": Effect((), lambda app: back(app) == 1),
        "right_square_bracket": Effect(("left_square_bracket",) * 2, lambda app: back(app) == 1),
        "1": Effect(("2",), pane(1)),
        "2": Effect((), pane(2)),
        "3": Effect((), pane(3)),
        "4": Effect((), pane(4)),
        "5": Effect((), pane(5)),
        "tab": Effect((), pane(2)),
        "up": Effect(("end",), at(FIFTH)),
        "k": Effect(("end",), at(FIFTH)),
        "down": Effect((), at(FIFTH)),
        "j": Effect((), at(FIFTH)),
        "pageup": Effect(("end",), at(FIRST)),
        "pagedown": Effect(("home",), at(LAST)),
        "home": Effect((), at(FIRST)),
        "g": Effect((), at(FIRST)),
        "end": Effect((), at(LAST)),
        "G": Effect((), at(LAST)),
        "R": Effect((), on(RunsScreen)),
        "t": SCROLLING["t"],
        "m": SCROLLING["m"],
        "escape": Effect(("slash", "x", "enter"), lambda app: look(app).filter == ""),
        "question_mark": Effect((), on(HelpScreen)),
        "q": Effect((), left),
        "ctrl+c": Effect((), left),
        "Q": Effect((), lambda app: look(app).asking == "stop"),
    },
    "samples": {
        **SCROLLING,
        "n": Effect((), question(1)),
        "p": Effect(("n",), question(0)),
        "y": Effect((), lambda app: "Reference: Light it, lass." in app.clipboard),
        "escape": Effect((), on(TrainScreen)),
    },
    "runs": {
        **SCROLLING,
        "enter": Effect(("down",), lambda app: app.run_dir is not None and app.run_dir.name != "happy"),
        "c": Effect((), lambda app: isinstance(app.screen, RunsScreen) and app.screen.choosing),
        "escape": Effect((), on(TrainScreen)),
    },
    "first": {
        **SCROLLING,
        "end": Effect((), row(2)),
        "G": Effect((), row(2)),
        "pagedown": Effect((), row(2)),
        "enter": Effect((), on(TrainScreen)),
    },
    "help": {
        **{key: effect for key, effect in SCROLLING.items() if key != "t"},
        "question_mark": Effect((), on(TrainScreen)),
        "escape": Effect((), on(TrainScreen)),
    },
}
OPENING: dict[Screen, tuple[str, ...]] = {
    "train": (),
    "samples": ("home", "enter"),
    "runs": ("R",),
    "help": ("question_mark",),
    "first": (),
}
EACH = [
    (name, code)
    for name in OPENING
    for key in keys_of(name)
    for code in key.keys.split(",")
    if code not in ("ctrl+z", "v")  # test_job_control.py and test_vote_in_the_console.py have a terminal for them
]


async def settled(pilot: Pilot[None]) -> None:
    """All that the screen shows was read."""
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.pause()
    while (app.run_dir is not None and not app.drained) or not getattr(app.screen, "whole", True):
        await pilot.pause(0.01)


@pytest.mark.parametrize(("name", "code"), EACH)
async def test_key(console: Open, story: Callable[[str], RunDir], name: Screen, code: str) -> None:
    for other in ("restarted", "finished", "collapsed") if name == "runs" else ():
        story(other)
    app = console("rolled-back" if code == "K" else "happy", first=name == "first")
    if code == "K":  # a phase can be kept while the engine is at work
        journal = Path("logs/rolled-back/journal.jsonl")
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(each for each in lines if b'"run_finished"' not in each))
    app.start_config = lambda path: RunDir(Path("logs/happy"))
    effect = EFFECTS[name][code]
    async with app.run_test(size=(120, 40) if name in ("train", "runs") else (60, 20)) as pilot:
        await settled(pilot)
        for key in (*OPENING[name], *effect.before):
            await pilot.press(key)
            await settled(pilot)
        assert not effect.holds(app)
        await pilot.press(code)
        await pilot.pause()
        assert effect.holds(app)
        assert app.now() == NOW
