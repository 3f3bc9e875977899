"""`mindprint-tui`: arguments only."""

import sys
import time
from pathlib import Path

import click

from engine.contract import commands, rundir
from engine.contract import events as e
from engine.contract.errors import InputError
from engine.contract.names import run_name
from mindprint_tui import launcher
from mindprint_tui.feed import Feed
from mindprint_tui.headless import DIED, Headless

LOGS = click.option("--logs", type=click.Path(path_type=Path), default=Path("logs"), help="Where runs are kept.")


class RunByDefault(click.Group):
    """`mindprint-tui CONFIG` means `mindprint-tui run CONFIG`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault)
@click.version_option(package_name="mindprint-tui")
def cli() -> None:
    """Teaches a person's voice to a language model, topic by topic, and shows whether it works.

    Without a command, CONFIG is trained: mindprint-tui [OPTIONS] [CONFIG]; see mindprint-tui run --help.
    """


@cli.command()
@click.argument("config", type=click.Path(path_type=Path), default=Path(launcher.DEFAULT))
@click.option("--no-ui", is_flag=True, help="Plain lines on stdout. Ctrl-C once: checkpoint and stop; twice: stop now.")
@click.option("--topic", "topics", multiple=True, metavar="ID", help="Train only this topic; repeatable.")
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a configuration value; repeatable."
)
@LOGS
@click.option("--run-id", metavar="NAME", help="Name the run.")
@click.option("--resume", metavar="RUN", help="Go on with a run that stopped or died.")
def run(
    config: Path,
    no_ui: bool,
    topics: tuple[str, ...],
    overrides: tuple[str, ...],
    logs: Path,
    run_id: str | None,
    resume: str | None,
) -> int:
    """Train CONFIG (configs/demo.yaml by default). The console is yet to come: this runs as with --no-ui."""
    if resume is not None:
        folder = rundir.find(logs, resume)
        return Headless(folder, launcher.spawn(folder)).follow()
    folder = launcher.prepare(config, topics, overrides, logs, run_id)
    try:
        return Headless(folder, launcher.spawn(folder)).follow()
    except InputError:
        launcher.discard(folder)
        raise


@cli.command()
@click.argument("run")
@click.argument("kind", type=click.Choice(commands.KINDS))
@click.argument("topic", required=False)
@LOGS
def ctl(run: str, kind: str, topic: str | None, logs: Path) -> int:
    """Ask the engine of RUN to pause, resume, stop, or to skip, reevaluate or retry a TOPIC; print its answer."""
    folder = rundir.find(logs, run_name(run))
    feed = Feed(folder, folder.journal.stat().st_size)
    wanted = launcher.ask(folder, kind, topic)
    while True:
        alive = feed.alive()
        for record in feed.read():
            if isinstance(record.event, e.CommandTaken) and record.event.id == wanted:
                click.echo(f"{record.event.outcome}: {record.event.reason}")
                return 0 if record.event.outcome == "done" else 1
        if not alive:
            click.echo("the engine ended before it answered", err=True)
            return DIED
        time.sleep(0.05)


@cli.command()
@click.argument("run")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@LOGS
def export(run: str, target: Path, logs: Path) -> int:
    """Write the model that RUN made as a folder that mlx_lm.generate and mlx_lm.server load."""
    return launcher.export(rundir.find(logs, run_name(run)), target)


def main() -> None:
    """The console script; a person's mistake is one sentence on stderr and status 2."""
    try:
        sys.exit(cli(standalone_mode=False))
    except InputError as error:
        click.echo(f"mindprint-tui: {error}", err=True)
    except click.ClickException as error:
        error.show()
    except click.Abort:
        sys.exit(130)
    sys.exit(2)
