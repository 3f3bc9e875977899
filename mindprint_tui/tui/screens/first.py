"""The first screen: train a demonstration, or open a run."""

from textual import on

from engine.contract.run_folder.folder import list_runs
from mindprint_tui.tui.screens.base import BaseScreen, bindings
from mindprint_tui.tui.widgets.lines import Lines
from mindprint_tui.view.pages.first import Choice, choices, first_lines, rows_of
from mindprint_tui.view.text import line


class FirstScreen(BaseScreen):
    """The screen that opens if no configuration was named and no engine is running."""

    NAME = "first"
    BINDINGS = bindings("first")

    def __init__(self) -> None:
        super().__init__()
        self.place = 0
        self._choices: list[Choice] = []

    def paint(self) -> None:
        self._choices = choices(len(list_runs(self.console.logs)), self.console.logs)
        lines = first_lines(self._choices, self.place, self.cells)
        self.lines("head").show([line((" mindprint", "title"))])
        self.lines("body").show(lines[: self.rows])
        self.paint_footer({}, set())

    def action_move(self, down: int) -> None:
        self.place = max(0, min(self.place + down, len(self._choices) - 1))
        self.paint()

    def action_choose(self) -> None:
        config, start = self._choices[self.place].config, self.console.start_config
        if config is None:
            self.console.show_runs()
        elif start is not None:
            self.console.start(lambda: start(config))

    @on(Lines.Clicked, "#body")
    def click_choice(self, event: Lines.Clicked) -> None:
        place = rows_of(self._choices, self.cells).get(event.y)
        if place is None:
            return
        if place == self.place:
            self.action_choose()
        self.place = place
        self.paint()
