"""Every key, on a golden journal with a clock that stands still."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from golden import NOW, Living, Open, shown, until
from textual.events import MouseScrollUp
from textual.pilot import Pilot

from engine.contract.errors import InputError
from engine.contract.journal.codec import encode
from engine.contract.journal.events import (
    CommandTaken,
    Decided,
    Event,
    Paused,
    PhaseStarted,
    Record,
    Resumed,
    RunFinished,
    TopicFinished,
    TopicStarted,
)
from engine.contract.run_folder.commands import Command, parse
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.fold import ANSWERS
from mindprint_tui.journal.step_batch import Stretch
from mindprint_tui.keys import KEYS, keys_of, table
from mindprint_tui.tui.app import THEMES, MindprintApp
from mindprint_tui.tui.screens.help import HelpScreen
from mindprint_tui.tui.screens.runs import RunsScreen
from mindprint_tui.tui.screens.samples import SamplesScreen
from mindprint_tui.tui.screens.train import TrainScreen
from mindprint_tui.tui.widgets.lines import Lines
from mindprint_tui.tui.widgets.pane import Pane

RUNNING, DONE, LAST = "unit-01/chapter-02/topic-01", "unit-01/chapter-01/topic-01", "unit-01/chapter-02/topic-03"
Story = Callable[[str], RunDir]


def asked(app: MindprintApp) -> list[Command]:
    """What stands in commands.jsonl."""
    assert app.run_dir is not None
    path = app.run_dir.commands
    lines = path.read_bytes().splitlines() if path.exists() else []
    found = [parse(line, 0) for line in lines]
    return [command for command in found if isinstance(command, Command)]


def tell(app: MindprintApp, *events: Event) -> None:
    """The engine says something."""
    assert app.run_dir is not None
    with open(app.run_dir.journal, "ab") as file:
        for number, event in enumerate(events, app.state.seq + 1):
            file.write(encode(Record(number, NOW, event)))


@pytest.fixture
async def pilot(console: Open):  # type: ignore[no-untyped-def]
    app = console("happy")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(
            pilot,
            lambda: app.state.current == RUNNING and "1 Topics" in shown(app, "topics"),
        )
        yield pilot


async def test_a_pause_is_shown_as_asked_until_the_journal_says_paused(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("p")
    command = asked(app)[0]
    assert command.kind == "pause"
    assert "pausing…" in shown(app, "head") and "pausing…" in shown(app, "notice")
    tell(app, CommandTaken(command.id, "pause", "done", "paused; resume goes on"), Paused("me@pts/1"))
    await until(pilot, lambda: "paused by me@pts/1" in shown(app, "head"))
    assert "pausing" not in shown(app, "head")
    assert "resume" in shown(app, "foot")
    await pilot.press("p")
    assert [command.kind for command in asked(app)] == ["pause", "resume"]


async def test_a_refusal_shows_its_reason(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("s", "y")
    command = asked(app)[0]
    assert (command.kind, command.topic) == ("skip", RUNNING)
    tell(app, CommandTaken(command.id, "skip", "refused", "it is finished already"))
    await until(pilot, lambda: "refused: it is finished already" in shown(app, "notice"))


async def test_a_skip_of_the_running_topic_asks_first(pilot: Pilot[None]) -> None:
    """It throws away what the phase has learned; a topic that has not begun has nothing to lose."""
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("s")
    assert asked(app) == []
    words = " Skip “The night watch”? What this phase has learned is lost.   y skips, n does not"
    assert shown(app, "notice").rstrip() == words
    await pilot.press("n")
    assert asked(app) == [] and "the run goes on" in shown(app, "notice")
    await pilot.press("s", "y")
    assert [(command.kind, command.topic) for command in asked(app)] == [("skip", RUNNING)]
    await pilot.press("end", "s")
    assert [(command.kind, command.topic) for command in asked(app)][1:] == [("skip", LAST)]


async def test_the_topic_that_was_asked_about_is_skipped_and_no_other(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("s")
    tell(app, TopicFinished(RUNNING, "passed", "", 1.0), TopicStarted(LAST, 6, 6))
    await until(pilot, lambda: app.state.current == LAST)
    await pilot.press("y")
    assert [(command.kind, command.topic) for command in asked(app)] == [("skip", RUNNING)]


async def test_asking_twice_asks_once(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("e", "e")
    assert [(command.kind, command.topic) for command in asked(app)] == [("reevaluate", RUNNING)]
    assert "not answered yet" in shown(app, "notice")


async def test_keys_that_make_no_sense_say_why(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("r")
    assert asked(app) == []
    assert "only a finished topic" in shown(app, "notice")
    await pilot.press("home", "r")
    assert [(command.kind, command.topic) for command in asked(app)] == [("retry", DONE)]
    await pilot.press("s")
    assert "finished already" in shown(app, "notice")


async def test_a_retry_that_waits_is_shown_and_can_be_skipped(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("home", "r")
    tell(app, CommandTaken(asked(app)[0].id, "retry", "done", "it is trained again after the others", DONE))
    await until(pilot, lambda: "▷ Trimming the lamp" in shown(app, "topics"))
    await pilot.press("r")
    assert shown(app, "notice").startswith(" retry: “Trimming the lamp” waits for its retry already")
    await pilot.press("s")
    assert [(command.kind, command.topic) for command in asked(app)] == [("retry", DONE), ("skip", DONE)]


async def test_a_request_that_was_answered_waits_no_more_however_much_is_asked_after_it(pilot: Pilot[None]) -> None:
    """By others: a loop of `ctl RUN reevaluate` over all topics, a console that was open for days."""
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("p")
    tell(app, CommandTaken(asked(app)[0].id, "pause", "done", "paused; resume goes on"), Paused("me@pts/1"))
    await until(pilot, lambda: "paused by" in shown(app, "head"))
    await pilot.press("p")
    tell(app, CommandTaken(asked(app)[1].id, "resume", "done", "resumed"), Resumed("me@pts/1"))
    await until(pilot, lambda: "running" in shown(app, "head"))
    tell(app, *(CommandTaken(f"x{n}", "reevaluate", "done", "voice 0.50", DONE) for n in range(ANSWERS + 1)))
    await until(pilot, lambda: f"x{ANSWERS}" in app.state.answers)
    app.paint(1.0)
    assert "running" in shown(app, "head") and "ing…" not in shown(app, "notice")
    await pilot.press("p")
    assert [command.kind for command in asked(app)] == ["pause", "resume", "pause"]


async def test_a_request_that_waits_is_not_forgotten_for_others(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("p", "end", *("e", "up") * 6, *("end", "s", "up", "s", "home", "r", "down", "r", "down", "r"))
    assert len(asked(app)) > 8
    assert "pausing…" in shown(app, "head")


async def test_going_on_is_asked_once(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    tell(app, Paused("me@pts/1"))
    await until(pilot, lambda: "paused by" in shown(app, "head"))
    await pilot.press("p", "p")
    assert [command.kind for command in asked(app)] == ["resume"]
    assert "not answered yet" in shown(app, "notice")


class Reading(Living):
    """A journal of which nobody knows the end yet."""

    whole = False

    @property
    def progress(self) -> float:
        return 1.0 if Reading.whole else 0.5

    def skim(self, seconds: float = 0.0) -> list[Record | Stretch]:
        records = super().skim(seconds)
        self.drained = Reading.whole
        return records


async def test_keys_do_not_steer_by_the_past_while_a_long_journal_is_read(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reading, "whole", False)
    app = MindprintApp(story("happy"), Path("logs"), clock=lambda: NOW, feed=Reading)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "reading the journal: 50%" in shown(app, "notice"))
        for key in ("p", "s", "e", "r", "Q"):
            await pilot.press(key)
            assert "the journal is still being read" in shown(app, "notice")
        assert asked(app) == [] and "Stop the run?" not in shown(app, "notice")
        monkeypatch.setattr(Reading, "whole", True)
        await until(pilot, lambda: app.drained)
        await pilot.press("p")
        assert [command.kind for command in asked(app)] == ["pause"]


async def test_cursor_and_follow(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("end")
    assert "Voice · Oil and stores" in shown(app, "voice")
    assert "f follows" in shown(app, "notice")
    await pilot.press("up", "up")
    assert "Voice · The night watch" in shown(app, "voice")
    await pilot.press("down", "k", "j", "pageup")
    assert "Voice · Trimming" in shown(app, "voice")
    await pilot.press("f")
    assert "Voice · The night watch" in shown(app, "voice")
    await pilot.press("f")
    assert "following already" in shown(app, "notice")


async def test_panes(pilot: Pilot[None]) -> None:
    app = pilot.app
    for key, name in zip("12345", ("topics", "loss", "adapter", "voice", "log"), strict=True):
        await pilot.press(key)
        assert [pane.id for pane in app.screen.query(Pane) if pane.active] == [name]
    await pilot.press("tab")
    assert [pane.id for pane in app.screen.query(Pane) if pane.active] == ["topics"]


async def test_loss_curve(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("l")
    assert "· log ─" in shown(app, "loss")
    await pilot.press("l", "left_square_bracket")
    assert "Loss · SFT" in shown(app, "loss") and "1 earlier" in shown(app, "loss")
    await pilot.press("right_square_bracket", "right_square_bracket")
    assert "Loss · DPO" in shown(app, "loss")


async def test_filter(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("slash", *"cut at")
    assert "an answer was cut" in shown(app, "log") and "passed" not in shown(app, "log")
    await pilot.press("backspace", "enter")
    assert "filtered by “cut a”" in shown(app, "notice")
    await pilot.press("slash", *"zzz", "enter")
    assert "Nothing in the log" in shown(app, "log")
    await pilot.press("escape")
    assert "fused" in shown(app, "log")


async def test_the_curve_that_was_chosen_stays_when_a_phase_begins(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("left_square_bracket", "left_square_bracket")
    title = shown(app, "loss").partition(" · 2 earlier")[0]
    assert "Loss · SFT" in title
    tell(app, PhaseStarted(LAST, "sft", 12, 8, 1200, 3600))
    await until(pilot, lambda: f"{title} · 3 earlier" in shown(app, "loss"))
    await pilot.press(*("right_square_bracket",) * 3)
    assert "Loss · SFT Oil and stores ─" in shown(app, "loss")
    tell(app, PhaseStarted(LAST, "dpo", 12, 8, 1200, 3600))
    await until(pilot, lambda: "Loss · DPO Oil and stores ─" in shown(app, "loss"))


async def test_what_is_read_in_the_log_stays_when_more_is_said(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("5", *("up",) * 4)
    rows = shown(app, "log").splitlines()[1:-1]
    tell(app, Paused("me@pts/1"), Resumed("me@pts/1"), Decided(RUNNING, "keep", "a long reason, " * 30))
    await until(pilot, lambda: app.state.log[-1].event.kind == "decided")
    app.paint(1.0)
    assert shown(app, "log").splitlines()[1:-1] == rows
    await pilot.press("end")
    assert "a long reason" in shown(app, "log")


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_page_leaves_nothing_out(console: Open, size: tuple[int, int]) -> None:
    app = console("many")

    def numbers() -> list[int]:
        """Which topics are in sight."""
        titles = [re.search(r"[»·✓✗▶] (.*?)  ", row) for row in shown(app, "topics").splitlines()]
        found = [title[1] for title in titles if title]
        return [place for place, topic in enumerate(app.state.topics.values()) if topic.info.title in found]

    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.drained and len(app.state.topics) == 10_000)
        await pilot.press("1", "home")
        for _ in range(5):
            last = numbers()[-1]
            await pilot.press("pagedown")
            assert last < numbers()[-1] and numbers()[0] <= last + 1
        await pilot.press("5", "home")
        for _ in range(5):
            before = shown(app, "log").splitlines()
            await pilot.press("pagedown")
            assert shown(app, "log").splitlines()[1] == before[-2] != before[1]


async def test_log_scrolls(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("5", "home")
    assert "run happy started" in shown(app, "log")
    await pilot.press("end")
    assert "warning ×3" in shown(app, "log")


@pytest.mark.parametrize("capitals", [False, True])
async def test_stop_asks_first(pilot: Pilot[None], capitals: bool) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("Q")
    assert "Stop the run?" in shown(app, "notice")
    await pilot.press("p")
    assert asked(app) == [] and "the run goes on" in shown(app, "notice")
    await pilot.press("Q", "Y" if capitals else "y")
    assert [command.kind for command in asked(app)] == ["stop"]
    assert "stopping…" in shown(app, "head")
    tell(app, CommandTaken(asked(app)[0].id, "stop", "done", "stopping"), RunFinished(3, 6, 130, "f", 9.0))
    await until(pilot, lambda: "stopped by a person" in shown(app, "head"))
    assert app.status == 130
    await pilot.press("p")
    assert "the run is over" in shown(app, "notice")


async def test_detach_says_that_the_engine_goes_on(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("q")
    assert app.words == (
        "The engine goes on. See it again with: mindprint-tui attach happy\n"
        "Stop it, with a checkpoint, with: mindprint-tui ctl happy stop"
    )
    assert asked(app) == []


async def test_samples(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("home", "enter")
    assert isinstance(app.screen, SamplesScreen)
    await until(pilot, lambda: "question 1 of 2" in shown(app, "head"))
    assert "What is done at dusk?" in shown(app, "body")
    await pilot.press("n")
    assert "Who trims the lamp?" in shown(app, "body")
    await pilot.press("p", "down", "up", "y")
    assert "What is done at dusk?" in app.clipboard
    assert "✓ sent to the terminal's clipboard  question 1 of 2" in shown(app, "head")
    await pilot.press("escape")
    assert isinstance(app.screen, TrainScreen)
    await pilot.press("end", "enter")
    assert isinstance(app.screen, SamplesScreen)


async def test_open_answers_learn_what_became_of_their_phase(console: Open) -> None:
    """The engine says it with an event that is no answer."""
    app = console("rolled-back")
    journal = app.run_dir and app.run_dir.journal
    assert journal is not None
    lines = journal.read_bytes().splitlines(keepends=True)
    undone = next(place for place, line in enumerate(lines) if b'"rolled_back"' in line)
    journal.write_bytes(b"".join(lines[:undone]))
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: app.drained and bool(app.state.topics))
        await pilot.press("home", "enter")
        await until(pilot, lambda: "after DPO" in shown(app, "body"))
        assert "rolled back" not in shown(app, "body")
        with open(journal, "ab") as file:
            file.write(lines[undone])
        await until(pilot, lambda: "after DPO ⟲ rolled back" in shown(app, "body"))


async def test_help_and_theme(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("question_mark")
    assert isinstance(app.screen, HelpScreen)
    assert "Pause at the next optimizer step" in shown(app, "body")
    await pilot.press("pagedown", "pagedown")
    assert "command palette" in shown(app, "body")
    await pilot.press("escape")
    for name in (*THEMES[1:], THEMES[0]):
        await pilot.press("t")
        assert app.theme == name


async def test_runs(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.press("R")
    assert isinstance(app.screen, RunsScreen)
    await until(pilot, lambda: "2/6 passed" in shown(app, "body"))
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, TrainScreen) and app.state.current == RUNNING)


async def test_command_palette_has_the_keys(pilot: Pilot[None]) -> None:
    from mindprint_tui.tui.screens.palette import KeyCommands

    commands = [str(hit.display) async for hit in KeyCommands(pilot.app.screen).discover()]
    assert {key.help for key in keys_of("train") if "(" not in key.action and key.action != "pane"} <= set(commands)


async def test_an_empty_folder_explains_itself_and_starts_a_configuration(
    tmp_path: Path, story: Callable[[str], RunDir]
) -> None:
    started: list[Path] = []

    def start(path: Path) -> RunDir:
        started.append(path)
        if path.name == "bad.yaml":
            raise InputError("bad.yaml:3: sft.rnak: unknown key; did you mean 'rank'?")
        return story("finished")

    app = MindprintApp(None, tmp_path / "empty", start_config=start)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "bad.yaml").touch()
    (tmp_path / "configs" / "good.yaml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: "There are no runs" in shown(app, "body"))
            await pilot.press("c", "enter")
            await until(pilot, lambda: app.error is not None)
            await until(pilot, lambda: "did you mean 'rank'" in shown(app, "banner"))
            await pilot.press("R", "c", "down", "enter")
            await until(pilot, lambda: app.state.finished is not None)
            assert app.error is None
    assert [path.name for path in started] == ["bad.yaml", "good.yaml"]


async def test_the_runs_screen_offers_the_shipped_configurations_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    app = MindprintApp(None, tmp_path / "logs", start_config=lambda path: RunDir(path))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "There are no runs" in shown(app, "body"))
        await pilot.press("c")
        await until(pilot, lambda: "demo.yaml  shipped with mindprint-tui" in shown(app, "body"))
        assert "▸ mine.yaml" in shown(app, "body")


async def test_a_refused_configuration_is_not_mixed_with_the_run_before(console: Open) -> None:
    def refuse(path: Path) -> RunDir:
        raise InputError(f"{path}: cannot be read")

    app = console("happy")
    app.start_config, run = refuse, app.run_dir
    Path("configs").mkdir()
    Path("configs", "bad.yaml").touch()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.state.current == RUNNING)
        await pilot.press("R", "c", "enter")
        await until(pilot, lambda: "cannot be read" in shown(app, "banner"))
        assert run is not None
        with open(run.journal, "ab") as file:
            file.write(encode(Record(9999, NOW, Paused("me"))))
        await pilot.pause(0.5)
        assert app.state.paused is None and app.state.topics == {}
        await pilot.press("p")
        assert not run.commands.exists()
        await pilot.press("R", "escape")
        assert isinstance(app.screen, TrainScreen)


async def test_an_engine_that_is_gone_is_told_and_takes_no_commands(console: Open) -> None:
    app = console("happy", alive=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "The engine is gone" in shown(app, "banner"))
        await pilot.press("p")
        assert asked(app) == []
        assert "the engine is gone" in shown(app, "notice")


async def test_a_line_stays_one_line_on_the_screen(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    app.screen.query_one("#notice", Lines).show([(("a title\nof two lines", "bold"),)])
    assert "a title ⏎ of two lines" in shown(app, "notice")


async def test_the_mouse_works_too(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.click("#topics", offset=(10, 2))
    assert "Voice · Trimming the lamp" in shown(app, "voice")
    await pilot.click("#log", offset=(10, 2))
    assert [pane.id for pane in app.screen.query(Pane) if pane.active] == ["log"]
    before = shown(app, "log")
    app.screen.query_one("#log").post_message(MouseScrollUp(None, 10, 2, 0, -1, 0, False, False, False))
    await until(pilot, lambda: shown(app, "log") != before)
    await pilot.click("#foot", offset=(shown(app, "foot").index("? help"), 0))
    assert isinstance(app.screen, HelpScreen)


async def test_a_resize_while_running(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, MindprintApp)
    await pilot.resize_terminal(60, 20)
    await pilot.pause(0.1)
    assert "DPO 14/24" in shown(app, "second")
    await pilot.press("2")
    await until(pilot, lambda: "steps" in shown(app, "loss"))
    await pilot.resize_terminal(200, 60)
    await until(pilot, lambda: "happy" in shown(app, "head") and app.screen.query_one("#log").size.height > 10)


def test_the_reference_holds_the_table_and_shows_every_screen() -> None:
    docs = Path(__file__).parents[3] / "docs"
    reference = (docs / "RUNS.md").read_text(encoding="utf-8")
    assert table() in reference
    assert all(f"({picture.name})" in reference for picture in docs.glob("*.png"))


def test_one_table() -> None:
    assert all(f"| `{key.shown}` |" in table() for key in keys_of("train"))
    codes = [(code, screen) for key in KEYS for code in key.keys.split(",") for screen in key.screens]
    assert len(codes) == len(set(codes))
