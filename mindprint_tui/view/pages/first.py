"""The first screen as lines and as plain text: choices for a start without a configuration."""

from pathlib import Path
from typing import NamedTuple

from engine.contract.wording import several
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.view.text import Line, line, wrap

INTRO = "mindprint teaches a person's voice to a language model, topic by topic, and shows whether it works."
OWN = "A configuration of your own: mindprint-tui FILE.yaml. All commands: mindprint-tui --help."
INDENT = "    "


class Choice(NamedTuple):
    """One thing to start.

    `config` is the configuration to train, or None for the list of runs. `shell` is the equivalent command.
    """

    title: str
    text: str
    config: Path | None
    shell: str


def choices(runs: int, logs: Path) -> list[Choice]:
    """Returns the demonstrations and the list of runs. `runs` is the number of runs in `logs`."""
    folder = one_line(clean(str(logs)))
    there = f"{several(runs, 'run')} in {folder}, running or ended." if runs else f"There are no runs in {folder} yet."
    return [
        Choice("Train the quick demonstration", "2 topics of a lighthouse keeper: a few minutes.", *_of("quick")),
        Choice("Train the whole demonstration", "All 28 topics: about half an hour on two cores.", *_of("demo")),
        Choice("Open a run", there, None, "mindprint-tui attach"),
    ]


def _of(name: str) -> tuple[Path, str]:
    return Path(f"configs/{name}.yaml"), f"mindprint-tui configs/{name}.yaml"


def first_lines(found: list[Choice], chosen: int, cells: int) -> list[Line]:
    """Returns the lines of the page. `chosen` is the position of the cursor."""
    lines: list[Line] = [(), *(line("  " + text) for text in wrap(INTRO, cells - 4)), ()]
    for place, choice in enumerate(found):
        here = place == chosen
        lines.append(line(("▸ " if here else "  ", "accent"), (choice.title, "cursor" if here else "bold")))
        lines += [line(INDENT + text) for text in wrap(choice.text, cells - len(INDENT) - 2)]
        lines += [line((f"{INDENT}{choice.shell}", "dim")), ()]
    return [*lines, *(line(("  " + text, "dim")) for text in wrap(OWN, cells - 4))]


def rows_of(found: list[Choice], cells: int) -> dict[int, int]:
    """Maps each line of the page to the index of its choice."""
    rows: dict[int, int] = {}
    y = 2 + len(wrap(INTRO, cells - 4))
    for place, choice in enumerate(found):
        height = 2 + len(wrap(choice.text, cells - len(INDENT) - 2))
        rows |= dict.fromkeys(range(y, y + height), place)
        y += height + 1
    return rows


def first_text(found: list[Choice]) -> str:
    """Returns the page as text for use without a terminal: each choice with its command."""
    lines = ["nothing was named to train, and there is no terminal to ask on. To begin:"]
    for choice in found:
        shell = choice.shell.replace("mindprint-tui ", "mindprint-tui --no-ui ") if choice.config else choice.shell
        lines.append(f"  {shell:<42}  {choice.title}. {choice.text}")
    return "\n".join([*lines, OWN])
