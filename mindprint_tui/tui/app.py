"""The console application: follows a run's journal, paints it, and sends commands to its engine."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

os.environ.setdefault("TEXTUAL_FPS", "1000")  # read when textual is imported; limits the wait from key to paint
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

from textual.app import App
from textual.theme import BUILTIN_THEMES, Theme

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.python_child import environment
from engine.contract.run_folder import commands
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.feed import Feed, Liveness
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.process import run_status
from mindprint_tui.process.exit_messages import engine_continues
from mindprint_tui.tui.bell import Bell
from mindprint_tui.tui.driver import TerminalDriver
from mindprint_tui.tui.outside import run_in_terminal
from mindprint_tui.tui.screens.first import FirstScreen
from mindprint_tui.tui.screens.train import TrainScreen
from mindprint_tui.view.focus import Focus, OpenRequest, with_answers
from mindprint_tui.view.header import SHOWN

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.screen import Screen

TICK = 0.2  # seconds between two reads of the journal
REST = 0.45  # seconds between two paints of journal news; a key is painted at once
SECOND = 1.0  # seconds between two checks of clock and lock
REPLAY = (0.03, 0.006)  # while much is unread: seconds of reading, then seconds of pause for keys
TERMINAL = Theme(
    name="terminal",
    primary="ansi_cyan",
    secondary="ansi_cyan",
    accent="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    ansi=True,
    variables={**BUILTIN_THEMES["ansi-dark"].variables, "frame": "ansi_bright_black"},
)
THEMES = ("terminal", "textual-dark", "textual-light")


def _palette() -> "type[Provider]":
    from mindprint_tui.tui.screens.palette import KeyCommands

    return KeyCommands


def _end_without_terminal() -> None:
    """Ends the process with SIGHUP if the terminal is gone but no signal came, for example under make.

    Else Textual's input thread would read the end of that file for ever.
    """
    if not os.isatty(0):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGHUP)


def _help() -> "Screen[None]":
    from mindprint_tui.tui.screens.help import HelpScreen

    return HelpScreen()


class MindprintApp(App[None]):
    """The Textual app of the console.

    `run` is shown as it is. `start` creates a run and its engine in a worker. Without either, the app lists the runs.
    With `first` it opens the first screen instead.

    After `run()`: `error` is the sentence for stderr if nothing could be started. `words` is the message for a user who
    left. `status` is the exit status of a run that finished while the console watched it.
    """

    CSS_PATH = "styles/app.tcss"
    COMMANDS: ClassVar["set[type[Provider] | Callable[[], type[Provider]]]"] = {_palette}
    SCREENS: ClassVar["dict[str, Callable[[], Screen[None]]]"] = {"help": _help}  # created once and kept
    TITLE = "mindprint"

    def __init__(
        self,
        run: RunDir | None,
        logs: Path,
        start: Callable[[], RunDir] | None = None,
        note: str | None = None,
        start_config: Callable[[Path], RunDir] | None = None,
        clock: Callable[[], float] = time.time,
        feed: Callable[[RunDir], Feed] = Feed,
        first: bool = False,
    ) -> None:
        # Textual chooses its NO_COLOR filter before a theme is set; this selects the one for the terminal's colours
        super().__init__(TerminalDriver, ansi_color=True if "NO_COLOR" in os.environ else None)
        gc.set_threshold(50_000, 20, 20)  # a journal makes millions of objects and almost no reference cycles
        self.run_dir = run
        self.logs = logs
        self.now = clock
        self.state = RunState()
        self.live = Liveness("gone", 0.0)
        self.drained = False  # whether the whole journal is in `state`
        self.error: str | None = None
        self.words: str | None = None
        self.status: int | None = None
        self.mouse_lent = False  # whether the terminal has the mouse
        self.start_config = start_config
        self._begin, self._first = start, first
        self._note = note or ""
        self._make_feed = feed
        self._train: TrainScreen | None = None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"frame": "#666666"}

    def on_mount(self) -> None:
        self.register_theme(TERMINAL)
        self.theme = THEMES[0]
        if not self.is_headless:  # SIGTERM must restore the terminal before the process ends
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.leave)
        if not self.is_headless and os.isatty(0):
            self.set_interval(SECOND, _end_without_terminal)
        if self.run_dir is not None:
            self.attach(self.run_dir)
        elif self._begin is not None:
            self.start(self._begin)
        elif self._first:
            self.push_screen(FirstScreen())
        else:
            self.show_runs()

    def attach(self, run: RunDir, started: bool = False) -> None:
        """Shows a run from its first event. A run that was shown before continues unchanged.

        If we just `started` the engine, existing records belong to a previous engine.
        """
        self.run_dir, self.state, self.drained = run, RunState(), False
        feed = self._make_feed(run)
        self.live = feed.liveness()
        past = run_status.read_state(run).seq if started else -1
        look = Focus(opened=self.now(), note=self._note, note_t=self.now(), progress=feed.progress, past=past)
        self._show_train(look)
        self.run_worker(self._follow(feed), group="follow", exclusive=True)

    def start(self, begin: Callable[[], RunDir]) -> None:
        """Starts an engine in a worker and shows its run. A user error is shown as one sentence.

        The run that was shown before continues without this console.
        """
        self.workers.cancel_group(self, "follow")
        self.run_dir, self.error = None, None
        self.state = RunState(preparing="starting the engine")
        self.live = Liveness("alive", 0.0)
        self._show_train(Focus(opened=self.now(), note=self._note, note_t=self.now()))

        def work() -> None:
            try:
                run = begin()
            except InputError as error:
                self.call_from_thread(self._refused, str(error))
            else:
                self.call_from_thread(self.attach, run, True)

        self.run_worker(work, thread=True, group="start")

    def ask(self, kind: str, topic: str | None) -> None:
        """Writes a command for the engine. The answer arrives through the journal."""
        if self.run_dir is None or self._train is None:
            return
        try:
            command = commands.new_command(kind, topic if kind in commands.WITH_TOPIC else None)
            commands.append(self.run_dir.commands, command)
        except (InputError, OSError) as error:
            self._train.say(clean(f"{kind} could not be asked: {error}"))
            return
        now, asked = self.now(), self._train.look.asked
        asked = tuple(one for one in asked if one.answer is None or now - one.answer.t < SHOWN)
        self._train.change(asked=(*asked, OpenRequest(command.id, kind, command.topic, now)), note="")

    def leave(self) -> None:
        """Ends the console. A running engine continues."""
        if self.run_dir is not None and self.live.word != "gone" and self.state.finished is None:
            self.words = engine_continues(self.run_dir)
        self.exit()

    async def action_quit(self) -> None:
        """Makes Textual's own ctrl+q leave the console as q does."""
        self.leave()

    def show_runs(self) -> None:
        from mindprint_tui.tui.screens.runs import RunsScreen

        self.push_screen(RunsScreen())

    def next_theme(self) -> None:
        place = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(place + 1) % len(THEMES)]

    def lend_mouse(self) -> bool:
        """Leaves the mouse to the terminal, or takes it back. Returns True if the terminal has it now."""
        self.mouse_lent = not self.mouse_lent
        if isinstance(self._driver, TerminalDriver):
            self._driver.lend_mouse(self.mouse_lent)
        return self.mouse_lent

    def suspend_console(self) -> bool:
        """Gives the terminal back to the shell until `fg`. Returns False if no shell could bring this process back."""
        if self._driver is None or not self._driver.can_suspend:
            return False
        self.action_suspend_process()
        return True

    def run_outside(self, command: Sequence[str]) -> int | None:
        """Runs a program in this terminal, and returns its exit status; None without a terminal. Raises OSError."""
        if self._driver is None or self.is_headless:
            return None
        status = run_in_terminal(self._driver, command, environment())
        self.refresh(layout=True)
        return status

    async def _follow(self, feed: Feed) -> None:
        """Reads, folds and paints until another run is attached.

        A long journal is read in slices, with pauses for keys between them.
        """
        painted = looked = 0.0
        bell = Bell(feed.run)
        reading, pause = REPLAY
        news = True
        while True:
            records = feed.skim(reading)
            if feed.replaced:
                self.attach(feed.run)
                return
            if records:
                news = True
                self.state = fold(self.state, records)
                if self._train is not None:
                    self._train.look = with_answers(self.state, self._train.look)
                self._notice_end()
                if self.drained and (rung := bell.ring(records, time.monotonic())) and self._driver is not None:
                    self._driver.write(rung)
            whole = feed.drained and not self.drained
            self.drained = feed.drained
            behind, now = not feed.drained, time.monotonic()
            if now - looked >= SECOND or (records and not behind):
                self.live, looked = feed.liveness(), now
            if whole or now - painted >= (REST if news else SECOND):
                painted, news = now, False
                self.paint(feed.progress if behind else 1.0, feed.damaged)
            await asyncio.sleep(pause if behind else TICK)

    def paint(self, progress: float, damaged: int = 0) -> None:
        """Paints the train screen, if it is open.

        `progress` is the share of the journal read so far, `damaged` the count of its unreadable lines.
        """
        if self._train is not None:
            self._train.look = replace(self._train.look, progress=progress, damaged=damaged)
            if self.screen is self._train:
                self._train.paint()

    def _notice_end(self) -> None:
        """Sets the exit status and error that the shell gets when the console closes."""
        self.status = self.state.finished.exit_status if self.state.finished else None
        fatal = self.state.fatal
        self.error = fatal.message if fatal is not None and fatal.where == "input" else None

    def _refused(self, sentence: str) -> None:
        self.error = sentence
        self.state = fold(RunState(), [e.Record(0, self.now(), e.Failed("input", clean(sentence), ""))])
        self.live = Liveness("gone", 0.0)
        self.paint(1.0)

    def _show_train(self, look: Focus) -> None:
        if self._train is not None:
            self._train.look = look
            while self.screen is not self._train:
                self.pop_screen()
            self._train.paint()
            return
        self._train = TrainScreen(look)
        if isinstance(self.screen, TrainScreen) or len(self.screen_stack) < 2:
            self.push_screen(self._train)
        else:
            self.switch_screen(self._train)
