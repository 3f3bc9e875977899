"""Options, arguments and small helpers that several commands share"""

import sys
from pathlib import Path

import click

from engine.contract.errors import InputError
from engine.contract.run_folder import folder as run_folders
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import unreadable_lines
from mindprint_tui import completion
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.sanitize import clean, one_line


def folder_of_runs(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """Checks --logs and returns it.

    Raises InputError if it is a file. A folder that does not exist is allowed: it holds no runs yet.
    """
    if value.exists() and not value.is_dir():
        raise InputError(f"--logs {value}: found a file, expected the folder of the runs")
    return value


LOGS = click.option(
    "--logs",
    type=click.Path(path_type=Path),
    callback=folder_of_runs,
    default=Path("logs"),
    show_default=True,
    help="The folder that holds the runs.",
)


TOPICS = click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="TOPIC",
    shell_complete=completion.course_topics,
    help="Train only this topic; repeatable. TOPIC is an id, or its last part or title if that is unique.",
)


OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a value of the configuration; repeatable."
)


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")


RUN = click.argument("run", required=False, shell_complete=completion.runs)


def named(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
    """Returns the file that an argument names, or None if the argument was left out.

    Raises InputError for an empty argument, for example from an unset shell variable: `Path("")` would be the folder
    `.`.
    """
    if value == "":
        raise InputError("CONFIG is empty; name a configuration file")
    return None if value is None else Path(value)


def find(logs: Path, run: str | None) -> RunDir:
    """Returns the run named `run` in `logs`, or the newest run if `run` is None.

    `run` may also be a path to the run's folder, as shell completion writes it.
    """
    path = Path(run or "")
    return run_folders.find(logs if path.name == (run or "") else path.parent, run and path.name)


def chosen(logs: Path, run: str | None) -> RunDir:
    """Returns the run as `find` does. If no run was named, prints the name of the newest run on stderr."""
    folder = find(logs, run)
    if run is None:
        click.echo(f"run {shown(folder.path)}", err=True)
    return folder


def shown(path: Path) -> str:
    """Returns a path as text that is safe to print on a terminal, on one line."""
    return one_line(clean(str(path)))


def say_damage(feed: Feed) -> None:
    """Prints on stderr how many lines of a journal could not be read, if any."""
    if feed.damaged:
        click.echo(f"mindprint-tui: {clean(str(feed.run.path))}: {unreadable_lines(feed.damaged)}", err=True)


def terminal() -> bool:
    """Returns True if stdin and stdout are both terminals, so that a console can run here."""
    return sys.stdout.isatty() and sys.stdin.isatty()
