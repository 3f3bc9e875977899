"""The runs screen: lists runs, newest first; attaches to a run or starts a configuration."""

import asyncio
import time
from pathlib import Path

from textual import on

from engine.contract.run_folder.folder import RunDir, list_runs
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.process.run_folder import list_configs, shipped_configs
from mindprint_tui.tui.screens.base import BaseScreen, bindings
from mindprint_tui.tui.widgets.lines import Lines
from mindprint_tui.view.pages.runs import RunRow, run_line, runs_head
from mindprint_tui.view.panes.topics import window
from mindprint_tui.view.text import Line, line

AGAIN = 2.0  # seconds between two reads of logs/
WORK, PAUSE = 0.02, 0.005  # seconds of reading, then seconds of pause for keys
REST = 0.2  # seconds between two paints while journals are read
FIRST = 2  # size of the screen stack if this screen was opened first: Textual's own is below it


class RunsScreen(BaseScreen):
    """The list of runs. Each row appears when its journal was read, and stays up to date."""

    NAME = "runs"
    BINDINGS = bindings("runs")

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, RunRow] = {}
        self._runs: list[RunDir] = []
        self._configs: list[Path] | None = None  # the configurations to choose from; None while the runs are shown
        self.place = 0
        self.whole = False  # whether every journal was read

    def on_mount(self) -> None:
        self.run_worker(self._watch())

    async def _watch(self) -> None:
        known: dict[str, tuple[Feed, RunState]] = {}
        rested = painted = 0.0
        while True:
            self._list(list_runs(self.console.logs))
            self.paint()
            there = {run.name for run in self._runs}
            known = {name: one for name, one in known.items() if name in there and not one[0].replaced}
            for run in self._runs:
                feed, before = known.get(run.name, (Feed(run), None))
                state = before or RunState()
                try:
                    for records in feed.rest(feed.skim):
                        state = fold(state, records)
                        if time.monotonic() - rested > WORK:
                            await asyncio.sleep(PAUSE)
                            rested = time.monotonic()
                    self._rows[run.name] = RunRow(run.name, state, feed.liveness())
                except OSError as error:  # an error of this run; the other runs are still read
                    self._rows[run.name] = RunRow(run.name, problem=error.strerror or str(error))
                known[run.name] = feed, state
                if state is not before and time.monotonic() - painted > REST:
                    self.paint()
                    painted = time.monotonic()
            self.paint()
            self.whole = True
            await asyncio.sleep(AGAIN)

    def _list(self, runs: list[RunDir]) -> None:
        """Replaces the list of runs. The cursor stays on its run if a newer run appears above it."""
        chosen = self._runs[self.place].name if self._runs and self._configs is None else None
        self._runs = runs
        if chosen is not None:
            self.place = next((place for place, run in enumerate(runs) if run.name == chosen), self.place)

    @property
    def choosing(self) -> bool:
        """Whether the user is choosing a configuration instead of a run."""
        return self._configs is not None

    def paint(self) -> None:
        if self.choosing:
            head = line((" Which configuration shall be trained?", "title"))
            rows = [(), *self._config_rows(max(1, self.rows - 1))]
        elif self._runs:
            head = line((" mindprint", "title"), (" · runs in ", "dim"), one_line(clean(str(self.console.logs))))
            rows = self._run_rows(max(1, self.rows - 1))
        else:
            head, rows = line((" mindprint", "title")), [(), *self._empty()]
        self.lines("head").show([head])
        self.lines("body").show(rows)
        off = set() if self._runs or self._configs else {"attach"}
        off |= set() if self.console.start_config else {"configurations"}
        self.paint_footer({"attach": "train it"} if self._configs is not None else {}, off)

    def _run_rows(self, room: int) -> list[Line]:
        """Returns the column names and the runs around the cursor."""
        now, cells = self.console.now(), self.cells
        self.place = max(0, min(self.place, len(self._runs) - 1))
        first = window(len(self._runs), room, self.place)
        rows = [self._rows.get(run.name, RunRow(run.name)) for run in self._runs[first : first + room]]
        shown = [run_line(row, now, cells, first + y == self.place) for y, row in enumerate(rows)]
        return [runs_head(cells), *shown]

    def _empty(self) -> list[Line]:
        return [
            line(f"  There are no runs in {one_line(clean(str(self.console.logs)))} yet."),
            (),
            line("  c chooses a configuration and trains it; so does, in the shell:  mindprint-tui CONFIG"),
        ]

    def _config_rows(self, room: int) -> list[Line]:
        names = [_label(path) for path in self._configs or []]
        if not names:
            return [line("  There is no .yaml file here or in configs/, and none came with the program.")]
        self.place = max(0, min(self.place, len(names) - 1))
        first = window(len(names), room, self.place)
        return [
            line(*(("▸ ", "accent"), (name, "cursor")) if first + y == self.place else ("  ", name), (source, "dim"))
            for y, (name, source) in enumerate(names[first : first + room])
        ]

    def action_move(self, down: int) -> None:
        count = len(self._configs if self._configs is not None else self._runs)
        self.place = max(0, min(self.place + down, count - 1))
        self.paint()

    def action_attach(self) -> None:
        if self._configs is not None:
            start = self.console.start_config
            if self._configs and start is not None:
                path = self._configs[self.place]
                self.console.start(lambda: start(path))
        elif self._runs:
            run = self._runs[self.place]
            row = self._rows.get(run.name)
            if row is None or not row.problem:
                self.console.attach(run)

    def action_configurations(self) -> None:
        if self.console.start_config is not None:
            self._configs, self.place = list_configs(), 0
            self.paint()

    def action_back(self) -> None:
        if self._configs is not None:
            self._configs, self.place = None, 0
            self.paint()
        elif len(self.app.screen_stack) > FIRST:
            self.app.pop_screen()

    @on(Lines.Clicked, "#body")
    def choose(self, event: Lines.Clicked) -> None:
        count = len(self._configs if self._configs is not None else self._runs)
        place = window(count, max(1, self.rows - 1), self.place) + event.y - 1
        if 0 <= place < count:
            self.place = place
            self.paint()


def _label(path: Path) -> tuple[str, str]:
    """Returns the name of a configuration, and a note if it was shipped with the program."""
    if path.parent == shipped_configs():
        return one_line(clean(path.name)), "  shipped with mindprint-tui"
    return one_line(clean(str(path))), ""
