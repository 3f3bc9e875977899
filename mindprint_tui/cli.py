"""`mindprint-tui`: arguments only."""

import difflib
import json
import os
import shutil
import sys
import time
from pathlib import Path

import click

from engine.contract.errors import InputError
from engine.contract.exit_codes import DIED
from engine.contract.journal import events as e
from engine.contract.names import topic_id
from engine.contract.run_folder import commands
from engine.contract.run_folder import folder as run_folders
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.headless import Headless
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.process import programs, run_folder, run_status
from mindprint_tui.tui.console import console


def folder_of_runs(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """A file there is a mistake, and no folder without runs."""
    if value.exists() and not value.is_dir():
        raise InputError(f"--logs {value}: a file, where the folder of the runs is expected")
    return value


LOGS = click.option(
    "--logs",
    type=click.Path(path_type=Path),
    callback=folder_of_runs,
    default=Path("logs"),
    show_default=True,
    help="Where runs are kept.",
)
TOPICS = click.option("--topic", "topics", multiple=True, metavar="ID", help="Train only this topic; repeatable.")
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a configuration value; repeatable."
)
JSON = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object on stdout.")


def named(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
    """The file that an argument names; a shell's unset variable, which is empty, would be the folder `.`."""
    if value == "":
        raise InputError("CONFIG is empty; name a configuration file")
    return None if value is None else Path(value)


def find(logs: Path, run: str | None) -> RunDir:
    """The run of that name in `logs`, or at that path, as a shell completes it, or the newest."""
    path = Path(run or "")
    return run_folders.find(logs if path.name == (run or "") else path.parent, run and path.name)


def terminal() -> bool:
    """Whether a console can be shown here, and keys be typed into it."""
    return sys.stdout.isatty() and sys.stdin.isatty()


class RunByDefault(click.Group):
    """`mindprint-tui CONFIG` means `mindprint-tui run CONFIG`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        word = args[0] if args and args[0].isalpha() else ""
        near = difflib.get_close_matches(word, self.commands)
        if near and word not in self.commands and not run_folder.find_config(Path(word)).exists():
            meant = " or ".join(map(repr, near))
            raise InputError(f"{word}: no such command, and no such configuration file; did you mean {meant}?")
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
@click.argument("config", callback=named, required=False)
@click.option("--no-ui", is_flag=True, help="Plain lines on stdout. Ctrl-C once: checkpoint and stop; twice: stop now.")
@TOPICS
@OVERRIDES
@LOGS
@click.option("--run-id", metavar="NAME", help="Name the run.")
@click.option("--resume", metavar="RUN", help="Go on with a run that stopped or died, as it began.")
def run(
    config: Path | None,
    no_ui: bool,
    topics: tuple[str, ...],
    overrides: tuple[str, ...],
    logs: Path,
    run_id: str | None,
    resume: str | None,
) -> int:
    """Train CONFIG (configs/demo.yaml by default) and open the console on it."""
    shaped = config is not None or bool(topics or overrides) or run_id is not None
    if resume is not None and shaped:
        raise click.UsageError("--resume goes on with a run as it began: leave out CONFIG, --topic, --set and --run-id")
    shown = terminal() and not no_ui
    if not shown and not no_ui:
        click.echo("there is no terminal here: running as with --no-ui", err=True)
    if shown and not shaped and resume is None and run_status.alive(logs):
        return console(None, logs)

    def begin() -> RunDir:
        if resume is not None:
            return find(logs, resume)
        return run_folder.prepare(config or Path(run_folder.DEFAULT), topics, overrides, logs, run_id)

    if shown:
        return console(None, logs, begin, new=resume is None)
    folder = begin()
    try:
        return Headless(folder).follow()
    except InputError:
        if resume is None:
            run_folder.discard(folder)
        raise


@cli.command()
@click.argument("run", required=False)
@LOGS
def attach(run: str | None, logs: Path) -> int:
    """Open a console on RUN, alive or finished; the newest by default."""
    folder = find(logs, run)
    if not terminal():
        raise InputError(
            f"attach needs a terminal, and there is none here; {folder.log} has the run as lines, and "
            "mindprint-tui metrics --csv --follow its numbers"
        )
    return console(folder, logs)


@cli.command()
@LOGS
def runs(logs: Path) -> None:
    """List the runs, newest first."""
    from mindprint_tui.journal.run_state import RunState, fold
    from mindprint_tui.view.pages.runs import RunRow, run_line, runs_head

    found = run_folders.list_runs(logs)
    if not found:
        click.echo(f"no runs in {logs} yet; start one with: mindprint-tui CONFIG")
        return
    width = max(100, shutil.get_terminal_size().columns)
    lines = [runs_head(width)]
    for item in found:
        feed, state = Feed(item), fold(RunState(), [])
        for records in feed.rest(feed.skim):
            state = fold(state, records)
        lines.append(run_line(RunRow(item.name, state, feed.liveness()), time.time(), width, False))
    for spans in lines:
        click.echo("".join(text for text, _ in spans).rstrip())


@cli.command()
@click.argument("run")
@click.argument("kind", type=click.Choice(commands.KINDS))
@click.argument("topic", required=False)
@LOGS
def ctl(run: str, kind: str, topic: str | None, logs: Path) -> int:
    """Ask the engine of RUN to pause, resume, stop, or to skip, reevaluate or retry a TOPIC; print its answer."""
    folder = find(logs, run)
    feed = Feed(folder, folder.journal.stat().st_size)
    wanted = run_status.ask(folder, kind, topic)
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
@click.argument("config", callback=named)
@TOPICS
@OVERRIDES
@JSON
def check(config: Path, topics: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> int:
    """Examine CONFIG and train nothing: data, gates, a self-test, predicted time and memory. Status 2: pointless."""
    from mindprint_tui.view.pages.preflight import lines

    report = programs.check(config, topics, overrides)
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for text in lines(report, max(80, shutil.get_terminal_size().columns)):
            click.echo(text)
    return 2 if report["problems"] else 0


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@JSON
@LOGS
def compare(runs: tuple[str, ...], as_json: bool, logs: Path) -> None:
    """Show runs side by side: per topic and phase voice, accuracy, preference accuracy, margin, verdict, time."""
    from mindprint_tui.report import comparison as facts
    from mindprint_tui.view.pages.comparison import table

    found = facts.compare([facts.read_run(find(logs, name)) for name in runs])
    if as_json:
        click.echo(facts.dump(found))
        return
    for text in table(found, max(80, shutil.get_terminal_size((120, 24)).columns)):
        click.echo(text)


@cli.command()
@click.argument("run")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@click.option("--format", "form", type=click.Choice(["mlx", "adapter", "peft"]), default="mlx", show_default=True)
@click.option("--rank", type=click.IntRange(1), help="Cut an adapter to this rank; what it loses is printed.")
@LOGS
def export(run: str, target: Path, form: str, rank: int | None, logs: Path) -> int:
    """Write what RUN made as a folder: a fused model (mlx; transformers reads it too), or one adapter."""
    return programs.export(find(logs, run), target, form, rank)


@cli.command()
@click.argument("run")
@click.option("--stage", metavar="before|TOPIC", help="The base model, or the model after a topic's last commit.")
@click.option("--max-tokens", type=click.IntRange(1), help="Of an answer; as in the run's evaluation by default.")
@LOGS
def chat(run: str, stage: str | None, max_tokens: int | None, logs: Path) -> int:
    """Talk to the model that RUN made, at any committed stage. Piped, each line of stdin is a question of its own."""
    from mindprint_tui.process import chat

    if stage not in (None, "before"):
        stage = topic_id(stage or "")
    return chat.chat(find(logs, run), stage, max_tokens)


@cli.command()
@click.argument("run")
@click.option("--csv", "as_csv", is_flag=True, help="Rows on stdout: steps, evaluations, verdicts.")
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Event files in DIR/RUN.")
@click.option("--wandb", is_flag=True, help="A Weights & Biases run.")
@click.option("--project", default="mindprint", show_default=True, help="Of Weights & Biases.")
@click.option("--follow", is_flag=True, help="Go on while the engine is alive.")
@LOGS
def metrics(
    run: str, as_csv: bool, tensorboard: Path | None, wandb: bool, project: str, follow: bool, logs: Path
) -> None:
    """The numbers of RUN for tools that draw curves, from its journal, live or after the fact."""
    from mindprint_tui.metrics import sinks
    from mindprint_tui.metrics.rows import Sink, pour

    if as_csv + (tensorboard is not None) + wandb != 1:
        raise click.UsageError("name one of --csv, --tensorboard DIR and --wandb")
    folder = find(logs, run)
    sink: Sink
    if tensorboard is not None:
        sink = sinks.TensorBoard(tensorboard, folder.name)
    elif wandb:
        sink = sinks.WandB(project)
    else:
        sink = sinks.Csv(sys.stdout)  # which begins with a line of its own
    pour(Feed(folder), sink, follow)


@cli.command()
@click.argument("run")
@click.option("--to", "target", type=click.Path(path_type=Path), help="The file; report.html in the run's folder.")
@LOGS
def report(run: str, target: Path | None, logs: Path) -> None:
    """Write RUN as one HTML page that needs no network: curves, scores, decisions, answers, what held."""
    from mindprint_tui.report import gather, page

    folder = find(logs, run)
    target = target or folder.path / "report.html"
    page.write(page.render(gather.gather(folder)), target)
    click.echo(target)


def main() -> None:
    """The console script; a person's mistake, and what the system refuses, is one sentence on stderr and status 2."""
    try:
        sys.exit(cli(standalone_mode=False))
    except InputError as error:
        click.echo(f"mindprint-tui: {clean(str(error))}", err=True)
    except click.ClickException as error:
        error.show()
    except click.Abort:
        sys.exit(130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        if not isinstance(error, BrokenPipeError):  # whoever reads has had enough, and `head` need not be told
            click.echo(f"mindprint-tui: {clean(f'{where}{error.strerror or error}')}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what waits to be written would fail again
    sys.exit(2)
