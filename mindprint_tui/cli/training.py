"""Commands that start, watch and control runs: run, attach, runs, ctl"""

import shutil
import time
from pathlib import Path

import click

from engine.contract import names
from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED
from engine.contract.journal import events as e
from engine.contract.run_folder import commands
from engine.contract.run_folder import folder as run_folders
from engine.contract.run_folder.folder import RunDir
from mindprint_tui import completion
from mindprint_tui.cli.common import LOGS, OVERRIDES, RUN, TOPICS, find, named, say_damage, shown, terminal
from mindprint_tui.cli.making import is_texts, make_of
from mindprint_tui.headless import Headless
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.process import run_folder, run_status
from mindprint_tui.tui.console import console


@click.command()
@click.argument("config", callback=named, required=False, shell_complete=completion.configurations)
@click.option(
    "--no-ui", is_flag=True, help="Print plain lines. Ctrl-C once stops with a checkpoint, twice stops at once."
)
@TOPICS
@OVERRIDES
@LOGS
@click.option("--run-id", metavar="NAME", help="Name of the run. Default: configuration and time.")
@click.option(
    "--resume", metavar="RUN", shell_complete=completion.runs, help="Continue a run that was stopped or has died."
)
def run(
    config: Path | None,
    no_ui: bool,
    topics: tuple[str, ...],
    overrides: tuple[str, ...],
    logs: Path,
    run_id: str | None,
    resume: str | None,
) -> int:
    """Train CONFIG and watch it in the console.

    Without CONFIG, the console lists the runs if one is alive; if not, it asks what to start. With --no-ui, the
    default is configs/demo.yaml.
    """
    shaped = config is not None or bool(topics or overrides) or run_id is not None
    if resume is not None and shaped:
        raise click.UsageError(
            "--resume continues a run with its own settings: leave out CONFIG, --topic, --set and --run-id"
        )
    painted = terminal() and not no_ui
    if not (no_ui or shaped or resume):
        return begin_with_nothing(logs)
    if config is not None and is_texts(config):
        return make_of(config, no_ui)
    if not painted and not no_ui:
        click.echo("there is no terminal here: running as with --no-ui", err=True)

    def begin() -> RunDir:
        if resume is not None:
            path = Path(resume)
            return run_folder.find_to_resume(logs if path.name == resume else path.parent, path.name)
        return run_folder.prepare(config or Path(run_folder.DEFAULT), topics, overrides, logs, run_id)

    if painted:
        return console(None, logs, begin, new=resume is None)
    folder = begin()
    try:
        return Headless(folder).follow()
    except InputError:
        if resume is None:
            run_folder.discard(folder)
        raise


def begin_with_nothing(logs: Path) -> int:
    """Opens the list of runs if one is alive, else the first screen.

    Without a terminal, prints the first screen and returns status 2.
    """
    if terminal():
        return console(None, logs, first=not run_status.alive(logs))
    from mindprint_tui.view.pages.first import choices, first_text

    click.echo(first_text(choices(len(run_folders.list_runs(logs)), logs)), err=True)
    return BAD_INPUT


@click.command()
@RUN
@LOGS
def attach(run: str | None, logs: Path) -> int:
    """Open the console on RUN, running or ended; the newest by default."""
    folder = find(logs, run)
    if not terminal():
        raise InputError(
            f"attach needs a terminal, and there is none here; read the run in {folder.log}, or its numbers with "
            "mindprint-tui metrics --csv --follow"
        )
    return console(folder, logs)


@click.command()
@LOGS
def runs(logs: Path) -> None:
    """List the runs, newest first."""
    from mindprint_tui.journal.fold import fold
    from mindprint_tui.journal.run_state import RunState
    from mindprint_tui.view.pages.runs import RunRow, run_line, runs_head

    found = run_folders.list_runs(logs)
    if not found:
        click.echo(f"no runs in {shown(logs.resolve())} yet; start one with: mindprint-tui CONFIG")
        return
    click.echo(f"runs in {clean(str(logs.resolve()))}")
    width = max(100, shutil.get_terminal_size().columns)
    lines = [runs_head(width)]
    for item in found:
        feed, state = Feed(item), fold(RunState(), [])
        try:
            for records in feed.rest(feed.skim):
                state = fold(state, records)
            row = RunRow(item.name, state, feed.liveness())
            say_damage(feed)
        except OSError as error:
            row = RunRow(item.name, problem=clean(f"{error.filename or item.path}: {error.strerror or error}"))
            click.echo(f"mindprint-tui: {row.problem}", err=True)
        lines.append(run_line(row, time.time(), width, False))
    for spans in lines:
        click.echo("".join(text for text, _ in spans).rstrip())


@click.command()
@click.argument("run", shell_complete=completion.runs)
@click.argument("kind", type=click.Choice(commands.KINDS))
@click.argument("topic", required=False, shell_complete=completion.run_topics)
@LOGS
def ctl(run: str, kind: str, topic: str | None, logs: Path) -> int:
    """Send a request to the engine of RUN, and print its answer.

    pause, resume and stop take no TOPIC; skip, reevaluate, retry and keep need one. TOPIC is an id, or its last part
    or title if that is unique. keep commits a rolled-back phase: TOPIC:sft or TOPIC:dpo names it, TOPIC takes the last.
    """
    folder, phase = find(logs, run), None
    if topic is not None and kind in commands.WITH_TOPIC:
        topic, phase = names.split_stage(topic) if kind == "keep" else (topic, None)
        topic = run_status.find_topic(folder, topic)
    feed = Feed(folder, folder.journal.stat().st_size)
    wanted = run_status.send_command(folder, kind, topic, phase)
    while True:
        alive = feed.alive()
        for record in feed.read():
            if isinstance(record.event, e.CommandTaken) and record.event.id == wanted:
                click.echo(f"{record.event.outcome}: {one_line(record.event.reason)}")
                return 0 if record.event.outcome == "done" else 1
        if not alive:
            click.echo("the engine ended before it answered", err=True)
            return DIED
        time.sleep(0.05)
