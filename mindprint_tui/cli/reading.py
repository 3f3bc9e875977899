"""Commands that show what runs have done: compare, metrics, report, vote"""

import shutil
import sys
from pathlib import Path

import click

from engine.contract.errors import InputError
from mindprint_tui import completion
from mindprint_tui.cli.common import JSON, LOGS, RUN, chosen, find, say_damage, shown, terminal
from mindprint_tui.journal.feed import Feed
from mindprint_tui.votes.ballots import PLACES, Place


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=completion.runs)
@JSON
@LOGS
def compare(runs: tuple[str, ...], as_json: bool, logs: Path) -> None:
    """Show runs side by side.

    For each topic and phase: voice, accuracy, preference accuracy, margin, verdict and time.
    """
    from mindprint_tui.report import comparison as facts
    from mindprint_tui.view.pages.comparison import table

    found = facts.compare([facts.read_run(find(logs, name)) for name in runs])
    if as_json:
        click.echo(facts.dump(found))
        return
    for text in table(found, max(80, shutil.get_terminal_size((120, 24)).columns)):
        click.echo(text)


@click.command()
@RUN
@click.option("--csv", "as_csv", is_flag=True, help="Print rows: steps, evaluations, verdicts.")
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Write event files to DIR/RUN.")
@click.option("--wandb", is_flag=True, help="Send the numbers to Weights & Biases.")
@click.option("--project", default="mindprint", show_default=True, help="Weights & Biases project name.")
@click.option("--follow", is_flag=True, help="Continue until the engine ends.")
@LOGS
def metrics(
    run: str | None, as_csv: bool, tensorboard: Path | None, wandb: bool, project: str, follow: bool, logs: Path
) -> None:
    """Give the numbers of RUN to tools that draw curves.

    Without RUN, it takes the newest run. The run may be running or ended. Name one of --csv, --tensorboard and
    --wandb.
    """
    from mindprint_tui.metrics import sinks
    from mindprint_tui.metrics.rows import Sink, write_metrics

    if as_csv + (tensorboard is not None) + wandb != 1:
        raise click.UsageError("name one of --csv, --tensorboard DIR and --wandb")
    folder = chosen(logs, run)
    sink: Sink
    if tensorboard is not None:
        sink = sinks.TensorBoard(tensorboard, folder.name)
    elif wandb:
        sink = sinks.WandB(project)
    else:
        sink = sinks.Csv(sys.stdout)  # writes the header line at once
    feed = Feed(folder)
    write_metrics(feed, sink, follow)
    say_damage(feed)


@click.command()
@RUN
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="The file. Default: report.html in the run's folder."
)
@LOGS
def report(run: str | None, target: Path | None, logs: Path) -> None:
    """Write a report of RUN: one HTML page that needs no network.

    Without RUN, it takes the newest run. The page has curves, scores, decisions, answers and the rules that were
    checked.
    """
    from mindprint_tui.report import gather, page

    folder = find(logs, run)
    target = target or folder.path / "report.html"
    page.write(page.render(gather.gather(folder)), target)
    click.echo(shown(target))


@click.command()
@RUN
@click.argument("other", metavar="[RUN]", required=False, shell_complete=completion.runs)
@click.option(
    "--stages",
    nargs=2,
    type=click.Choice(PLACES),
    metavar="STAGE STAGE",
    help="The two stages to compare, for example sft dpo; end is the last stage of each topic that is in the model. "
    "By default before and end, and of two runs their final exams.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides the order.")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="Write the decided votes of the first RUN as preference rows to this file.",
)
@click.option(
    "--train",
    is_flag=True,
    help="Let these rows train, for a curriculum that does not ask the same questions. Without it they only measure.",
)
@LOGS
def vote(
    run: str | None,
    other: str | None,
    stages: tuple[Place, Place] | None,
    seed: int,
    target: Path | None,
    train: bool,
    logs: Path,
) -> None:
    """Vote on pairs of answers without knowing which is whose.

    RUN is the newest by default; two runs are compared on the questions that both answered. The keys are 1 and 2 for
    the better answer, = for alike, 0 for neither, u to undo and q to leave. Votes are kept in the folder of the first
    RUN, and the next call goes on after them. Without a terminal, --to writes the votes that there are.
    """
    from mindprint_tui.votes import preference_rows, session

    if train and target is None:
        raise click.UsageError("--train belongs to --to")
    runs = [chosen(logs, run), *([find(logs, other)] if other is not None else [])]
    if target is not None:
        preference_rows.require_replaceable(runs[0], target)
    if terminal():
        session.vote(runs, stages, seed)
    elif target is None:
        raise InputError("vote needs a terminal, and there is none here; with --to it writes the votes that there are")
    if target is not None:
        session.export(runs[0], target, train)
