"""The commands that make a curriculum of a person's texts: new, review"""

import shutil
from pathlib import Path

import click
from msgspec import structs

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, STOPPED
from engine.contract.workbook.drafts import Decision
from engine.contract.workbook.files import append
from engine.contract.workbook.request import Request
from engine.contract.workbook.workbook import read_workbook
from mindprint_tui.cli.common import shown, terminal
from mindprint_tui.process import intake
from mindprint_tui.view.pages.workbook import row_lines


@click.command()
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file or a folder with your texts; repeatable. What it is, its content tells.",
)
@click.option("--me", multiple=True, metavar="NAME", help="Your name in chats and mails; repeatable. Else it is asked.")
@click.option(
    "--topics",
    metavar="auto|one|folders|N",
    help="auto: by what the texts are about, if there are enough; one; folders: by folders and headings; N: so many.",
)
@click.option("--redact/--no-redact", default=None, help="Replace mail addresses, numbers and keys by their kind.")
@click.option(
    "--names",
    type=click.Path(path_type=Path),
    metavar="TABLE",
    help="Replace names of others: a CSV file with two columns, or a YAML file `name: replacement`.",
)
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Keep this language; repeatable.")
@click.option("--model", metavar="MODEL", help="The base model, which also writes questions and rejected answers.")
@click.option("--window", type=click.FloatRange(0), help="Minutes in which messages of one author belong together: 10.")
@click.option("--silence", type=click.FloatRange(0), help="Hours of silence after which a conversation ends: 6.")
@click.option("--no-ui", is_flag=True, help="Ask nothing, and print plain lines.")
def new(
    name: Path,
    sources: tuple[Path, ...],
    me: tuple[str, ...],
    topics: str | None,
    redact: bool | None,
    names: Path | None,
    languages: tuple[str, ...],
    model: str | None,
    window: float | None,
    silence: float | None,
    no_ui: bool,
) -> int:
    """Make rows and a configuration of your own texts.

    It writes the folder NAME and NAME.yaml.

    Chats, mails, notes, posts and tables are read and nothing leaves this machine. A second call with more texts adds
    what is new; options that are left out stay as they were. docs/NEW.md describes what becomes of the texts.
    """
    given = {
        "me": list(me) or None,
        "topics": topics,
        "redact": redact,
        "names": None if names is None else intake.read_names(names),
        "languages": list(languages) or None,
        "model": model,
        "window": window,
        "silence": silence,
    }
    return make(name, sources, {key: value for key, value in given.items() if value is not None}, no_ui)


def make(name: Path, sources: tuple[Path, ...], given: dict[str, object], no_ui: bool = False) -> int:
    """Makes or continues a workbook, and returns the exit status."""
    folder = intake.workbook_at(name)
    earlier = intake.earlier_request(folder)
    for path in sources:
        if not path.exists():
            raise InputError(f"--from {path}: no such file or folder")
    paths = [*earlier.sources, *(str(path.resolve()) for path in sources)]
    request = structs.replace(earlier, sources=list(dict.fromkeys(paths)), **given)
    if not request.sources:
        raise InputError(f"{name}: name your texts with --from PATH")
    asks = terminal() and not no_ui
    try:
        intake.keep_request(folder, request)
        outcome = intake.intake(folder, painted=asks)
        if outcome.people:
            request = structs.replace(request, me=[_person(outcome.people, asks)])
            intake.keep_request(folder, request)
            outcome = intake.intake(folder, painted=asks)
    except (InputError, click.Abort):
        intake.restore_request(folder, earlier)
        raise
    if outcome.status == BAD_INPUT:
        intake.restore_request(folder, earlier)
    if outcome.ready:
        _say_next(name, request)
    elif outcome.status == STOPPED:
        click.echo(f"stopped; mindprint-tui new {shown(name)} goes on", err=True)
    return outcome.status


def _person(people: list[tuple[str, int]], asks: bool) -> str:
    """Asks who of the people is the person. Without a terminal, raises InputError, which lists them."""
    lines = intake.people_lines(people)
    if not asks:
        raise InputError("who are you in these texts? Name yourself with --me NAME:\n" + "\n".join(lines))
    click.echo("These people wrote:\n" + "\n".join(lines))
    number: int = click.prompt("Which of them are you", type=click.IntRange(1, len(people)))
    return people[number - 1][0]


@click.command()
@click.argument("name", type=click.Path(path_type=Path))
@click.option("--keep", multiple=True, metavar="ID", help="Keep this row, whatever its flags; repeatable.")
@click.option("--drop", multiple=True, metavar="ID", help="Leave this row out; repeatable.")
@click.option("--all", "everything", is_flag=True, help="List all rows, not only those that are left out or flagged.")
def review(name: Path, keep: tuple[str, ...], drop: tuple[str, ...], everything: bool) -> int:
    """List the rows that `new` made, and decide about them.

    Without --keep and --drop it lists the rows that have a flag or are left out, each with its ID. A decision is kept
    in the folder, also if `new` is called again, and the files are written anew.
    """
    folder = intake.workbook_at(name)
    if not folder.exists():
        raise InputError(f"{name}: not a folder that mindprint-tui new has made")
    book = read_workbook(folder)
    for id in (*keep, *drop):
        if id not in book.drafts:
            raise InputError(f"{id}: no row of {name} has this ID; mindprint-tui review {name} --all lists them")
    if both := set(keep) & set(drop):
        raise InputError(f"{min(both)}: --keep and --drop name the same row")
    for id, kept in [*((id, True) for id in keep), *((id, False) for id in drop)]:
        append(folder.decisions, structs.replace(book.decisions.get(id, Decision(id)), keep=kept), durable=True)
    if keep or drop:
        return make(name, (), {}, no_ui=True)
    for text in row_lines(book, everything, max(80, shutil.get_terminal_size().columns)):
        click.echo(text)
    return 0


def _say_next(name: Path, request: Request) -> None:
    click.echo(f"made {shown(name)} and {shown(name)}.yaml from {len(request.sources)} paths. Next:")
    click.echo(f"  mindprint-tui {shown(name)}.yaml      train")
    click.echo(f"  mindprint-tui review {shown(name)}    list the rows that are flagged, keep or drop them")


def is_texts(path: Path) -> bool:
    """Tells whether a path that was named like a configuration holds texts or rows instead."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() not in ("", ".yaml", ".yml"))


def make_of(path: Path, no_ui: bool) -> int:
    """Makes a curriculum of a path that was named like a configuration, after a question.

    Without a terminal, raises InputError with the command that would do it.
    """
    name = Path(path.resolve().name.partition(".")[0] or "me")
    if name.exists():
        name = Path(f"{name}-texts")
    command = f"mindprint-tui new {shown(name)} --from {shown(path)}"
    if no_ui or not terminal():
        raise InputError(f"{path}: found texts, expected a configuration; make one of them with: {command}")
    click.confirm(f"{shown(path)} is no configuration. Make one of its texts ({command})", default=True, abort=True)
    return make(name, (path,), {})
