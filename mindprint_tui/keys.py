"""Table of all keys, used by bindings, footer, command palette, help page and README."""

from dataclasses import dataclass
from typing import Literal

Screen = Literal["first", "train", "samples", "runs", "help"]
EVERYWHERE: tuple[Screen, ...] = ("train", "first", "samples", "runs", "help")


@dataclass(frozen=True, slots=True)
class Key:
    """One key binding.

    `keys` has Textual's names of the keys and `shown` is the name for the user. A key with an empty `label` is not in
    the footer.
    """

    keys: str
    shown: str
    action: str
    label: str
    help: str
    screens: tuple[Screen, ...] = ("train",)


KEYS = (
    Key("p", "p", "pause", "pause", "Pause at the next optimizer step, with a checkpoint; again: go on"),
    Key("s", "s", "skip", "skip", "Skip the chosen topic, after a question if it is running; take back its retry"),
    Key("e", "e", "reevaluate", "re-evaluate", "Score the chosen topic with the model as it stands"),
    Key("r", "r", "retry", "retry", "Train the chosen topic again, after the others"),
    Key("K", "K", "keep", "", "Keep the chosen topic's rolled-back phase after all, before the next topic begins"),
    Key("enter", "enter", "samples", "samples", "The chosen topic's answers side by side"),
    Key("v", "v", "vote", "", "Vote on pairs of answers without their names; q comes back"),
    Key("slash", "/", "filter", "filter", "Show only the log lines that hold a text"),
    Key("f", "f", "follow", "follow", "Follow the running topic again"),
    Key("l", "l", "log_scale", "log scale", "Loss on a logarithmic scale, and back"),
    Key("left_square_bracket", "[", "earlier", "", "The loss curve of an earlier phase"),
    Key("right_square_bracket", "]", "later", "", "The loss curve of a later phase"),
    Key("1,2,3,4,5", "1-5", "pane", "pane", "Choose a pane: topics, loss, adapter, voice, log"),
    Key("tab", "tab", "next_pane", "", "The next pane"),
    Key("up,k", "↑", "move(-1)", "", "One line up in the chosen pane", EVERYWHERE),
    Key("down,j", "↓", "move(1)", "", "One line down", EVERYWHERE),
    Key("pageup", "PgUp", "page(-1)", "", "One page up", EVERYWHERE),
    Key("pagedown", "PgDn", "page(1)", "", "One page down", EVERYWHERE),
    Key("home,g", "Home", "end(-1)", "", "To the beginning", EVERYWHERE),
    Key("end,G", "End", "end(1)", "", "To the end", EVERYWHERE),
    Key("n", "n", "question(1)", "next question", "The next question", ("samples",)),
    Key("p", "p", "question(-1)", "previous", "The previous question", ("samples",)),
    Key("y", "y", "copy", "copy", "Send question and answers to the terminal's clipboard", ("samples",)),
    Key("enter", "enter", "choose", "choose", "Train the chosen demonstration, or list the runs", ("first",)),
    Key("enter", "enter", "attach", "attach", "Open the chosen run", ("runs",)),
    Key("c", "c", "configurations", "start a configuration", "Choose a configuration and train it", ("runs",)),
    Key("R", "R", "runs", "", "All runs"),
    Key("t", "t", "theme", "", "Colours: the terminal's own, dark, light", ("train", "first", "samples", "runs")),
    Key("m", "m", "mouse", "", "Leave the mouse to the terminal, so that it selects text; again: back", EVERYWHERE),
    Key("ctrl+z", "^Z", "suspend", "", "Suspend the console; fg in the shell brings it back", EVERYWHERE),
    Key("escape", "esc", "back", "back", "Back", ("samples", "runs")),
    Key("escape,question_mark", "esc", "back", "back", "Back", ("help",)),
    Key("escape", "esc", "back", "", "Put a failure's banner away, or clear the filter"),
    Key("question_mark", "?", "help", "help", "This page", ("train", "first", "samples", "runs")),
    Key("q,ctrl+c", "q", "detach", "detach", "Leave the console; the engine goes on", ("train",)),
    Key("q,ctrl+c", "q", "detach", "quit", "Leave the console; engines go on", ("first", "samples", "runs", "help")),
    Key("Q", "Q", "stop", "stop", "Stop the run with a checkpoint, after a question"),
)


def keys_of(screen: Screen) -> list[Key]:
    """Returns the keys of one screen, in the order of the footer."""
    return [key for key in KEYS if screen in key.screens]


def table() -> str:
    """Returns the keys of the train screen as a Markdown table for the README."""
    rows = [f"| `{key.shown}` | {key.help} |" for key in keys_of("train")]
    return "\n".join(["| key | what it does |", "|---|---|", *rows])
