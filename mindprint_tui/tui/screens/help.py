"""The help screen: every key of the key table, and the meaning of the signs."""

from engine.contract.vocabulary import SCORED_STAGES, STAGES, START, VERDICTS
from mindprint_tui.keys import KEYS
from mindprint_tui.tui.screens.base import BaseScreen, bindings
from mindprint_tui.view.panes.topics import SIGNS
from mindprint_tui.view.text import Line, line, wrap

WHERE = {"train": "", "first": "first screen: ", "samples": "samples: ", "runs": "runs: "}
MEANING: dict[str, str] = {
    "pending": "still to come",
    "running": "running",
    "again": "finished, and waits for its retry",
    **{name: row.meaning for name, row in VERDICTS.items()},
    "rolled_back": "finished, and a phase of it was rolled back",
}
BEFORE_TO_AFTER = " → ".join(STAGES[stage].label for stage in SCORED_STAGES if stage != START)
NOTES = (
    "The engine is a process of its own: closing this console, or losing the connection, does not stop it.",
    "What you ask for is shown as asked until the engine's journal says that it was done or refused, and why.",
    f"Voice is shown {BEFORE_TO_AFTER}; “{STAGES[START].short}” is the model as earlier topics left it.",
    "“now” is the voice in the final exam; “language” is the loss of a neutral text, best near its value before.",
    "± is a 90 % interval, (3) the number of answers; ? says that a threshold lies inside the interval.",
    "Answers: a clause that you would hardly have written is dim; “by clause” says how likely each is yours.",
    "Text that you drag over goes to the terminal's clipboard (OSC 52). If your terminal does not take it, m leaves "
    "the mouse to the terminal, so that you can select text there.",
    "ctrl+p opens the command palette.",
)


def help_lines(cells: int) -> list[Line]:
    """Returns the lines of the whole page."""
    lines: list[Line] = [line((" Keys", "title"))]
    for key in KEYS:
        if key.action not in ("back", "detach") or key.screens == ("train",):
            where = next((WHERE[name] for name in key.screens if name in WHERE), "")
            first, *rest = wrap(where + key.help, cells - 10)
            lines.append(line((f"  {key.shown:<7}", "key"), first))
            lines += [line(" " * 9 + text) for text in rest]
    lines += [(), line((" Signs", "title"))]
    lines += [line("  ", SIGNS[name], f"      {text}") for name, text in MEANING.items()]
    lines += [(), line((" Good to know", "title"))]
    for note in NOTES:
        lines += [line("  " + text) for text in wrap(note, cells - 4, "  ")]
    return lines


class HelpScreen(BaseScreen):
    """The help screen. It scrolls if the page does not fit."""

    NAME = "help"
    BINDINGS = bindings("help")

    def __init__(self) -> None:
        super().__init__()
        self.place = 0

    def on_screen_resume(self) -> None:
        self.place = 0  # BaseScreen then paints: Textual calls the handler of every class

    def paint(self) -> None:
        lines = help_lines(self.cells)
        self.place = max(0, min(self.place, len(lines) - self.rows))
        end = self.place + self.rows
        self.lines("body").show(lines[self.place : end])
        cut = f" ↓ {len(lines) - end} more lines" if len(lines) > end else ""
        self.lines("head").show([line((" mindprint help", "title"), (cut, "dim"))])
        self.paint_footer({}, set())

    def action_move(self, down: int) -> None:
        self.place += down
        self.paint()
