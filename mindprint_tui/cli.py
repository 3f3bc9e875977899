"""Command line of `mindprint-tui`: commands, options and arguments."""

import difflib
import io
import json
import os
import re
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from engine.contract import names
from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED
from engine.contract.journal import events as e
from engine.contract.run_folder import commands
from engine.contract.run_folder import folder as run_folders
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import unreadable_lines
from mindprint_tui import completion
from mindprint_tui.headless import Headless
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.process import programs, run_folder, run_status
from mindprint_tui.tui.console import console
from mindprint_tui.votes.ballots import PLACES, Place


def folder_of_runs(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """Checks --logs and returns it.

    Raises InputError if it is a file. A folder that does not exist is allowed: it holds no runs yet.
    """
    if value.exists() and not value.is_dir():
        raise InputError(f"--logs {value}: found a file, expected the folder of the runs")
    return value


WORD = re.compile(r"[A-Za-z][A-Za-z_-]*")  # looks like a command, not like a file name

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


class RunByDefault(click.Group):
    """Click group with `run` as the default command: `mindprint-tui CONFIG` means `mindprint-tui run CONFIG`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        word = args[0] if args and WORD.fullmatch(args[0]) else ""
        if word == "help":
            args = [*args[1:2], "--help"]
        elif word and word not in self.commands and not run_folder.find_config(Path(word)).exists():
            self._refuse(ctx, word)
        if not args and ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h", "--version")):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completes commands, and configurations as the first argument of the default command `run`."""
        items = [*super().shell_complete(ctx, incomplete), *completion.configurations(ctx, None, incomplete)]
        return [item for item in items if item.type == "plain"] or items

    def _refuse(self, ctx: click.Context, word: str) -> None:
        """Raises InputError for a word that is neither a command nor a file.

        Does nothing during shell completion, when the word may still be incomplete.
        """
        if ctx.resilient_parsing:
            return
        if near := difflib.get_close_matches(word, self.commands):
            meant = " or ".join(map(repr, near))
            raise InputError(f"{word}: no such command, and no such configuration file; did you mean {meant}?")
        raise InputError(
            f"{word}: no such command. The commands are {', '.join(sorted(self.commands))}; to train, name a "
            "configuration file, for example configs/quick.yaml"
        )


@click.group(cls=RunByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mindprint-tui")
def cli() -> None:
    """Teach a person's voice to a language model, topic by topic, and see whether it works.

    mindprint-tui CONFIG trains a configuration; mindprint-tui run --help lists the options. RUN is a run's name or
    its folder.
    """


@cli.command()
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


@cli.command()
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


@cli.command()
@LOGS
def runs(logs: Path) -> None:
    """List the runs, newest first."""
    from mindprint_tui.journal.run_state import RunState, fold
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


@cli.command()
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


@cli.command()
@click.argument("config", callback=named, shell_complete=completion.configurations)
@TOPICS
@OVERRIDES
@JSON
def check(config: Path, topics: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> int:
    """Examine CONFIG before training: data, gates, time, memory.

    Keeps nothing of what it trains. The exit status is 2 if a run would be pointless.
    """
    from mindprint_tui.view.pages.preflight import lines

    report = programs.check(config, topics, overrides)
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for text in lines(report, max(80, shutil.get_terminal_size().columns)):
            click.echo(text)
    return 2 if report["problems"] else 0


@cli.command()
@click.argument("source", metavar="CONFIG|RUN")
@click.argument("file", type=click.Path(path_type=Path))
@TOPICS
@OVERRIDES
@JSON
@LOGS
def score(
    source: str, file: Path, topics: tuple[str, ...], overrides: tuple[str, ...], as_json: bool, logs: Path
) -> None:
    """Score texts as RUN or CONFIG would; nothing is trained.

    Each line of FILE is a JSON object with topic, question and answer, and a reference if you have one.
    """
    from mindprint_tui.view.pages.scores import lines

    if run_folder.find_config(Path(source)).is_file():
        found = programs.score_by_config(Path(source), topics, overrides, file)
    elif topics or overrides:
        raise click.UsageError("--topic and --set work with a CONFIG only; a RUN has its own settings")
    else:
        found = programs.score(find(logs, source), file)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for text in lines(found, max(80, shutil.get_terminal_size().columns)):
        click.echo(text)


@cli.command()
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


@cli.command()
@RUN
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mlx", "adapter", "peft", "gguf", "gguf-adapter"]),
    default="mlx",
    show_default=True,
    help="mlx: a fused model for mlx-lm and transformers; adapter: one adapter for mlx-lm; peft: one adapter for PEFT; "
    "gguf: a fused model for Ollama, LM Studio and llama.cpp; gguf-adapter: one adapter for llama.cpp.",
)
@click.option("--rank", type=click.IntRange(1), help="Reduce an adapter to this rank, and print the loss.")
@click.option(
    "--type",
    "numbers",
    metavar="TYPE",
    help="Number type of gguf: f16 (default), f32, bf16, q8_0, q5_1, q5_0, q4_1, q4_0.",
)
@click.option("--measure", is_flag=True, help="Measure how much the type changes the voice, on the held-out questions.")
@LOGS
def export(
    run: str | None, target: Path, form: str, rank: int | None, numbers: str | None, measure: bool, logs: Path
) -> int:
    """Write the model of RUN as a folder for other programs.

    Without RUN, it takes the newest run.
    """
    return programs.export(chosen(logs, run), target, form, rank, numbers, measure)


@cli.command()
@RUN
@click.option(
    "--stage",
    metavar="before|TOPIC[:PHASE]",
    shell_complete=completion.run_topics,
    help="before: the base model. TOPIC: the model after the last commit of that topic. TOPIC:sft, TOPIC:dpo: the "
    "model after that phase, also if it was rolled back (the last five such phases are kept on the disk).",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    help="Longest answer in tokens; 512 by default, or evaluation.max_tokens if stdin is not a terminal.",
)
@LOGS
def chat(run: str | None, stage: str | None, max_tokens: int | None, logs: Path) -> int:
    """Talk to the model that RUN made.

    Without RUN, it takes the newest run. If stdin is not a terminal, each line is a separate question.
    """
    from mindprint_tui.process import chat

    folder = chosen(logs, run)
    if stage is not None:
        stage = run_status.find_stage(folder, stage)
    return chat.chat(folder, stage, max_tokens)


@cli.command()
@RUN
@click.option(
    "--stage",
    metavar="before|TOPIC",
    shell_complete=completion.run_topics,
    help="before: the base model. TOPIC: the model after the last commit of that topic.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer in tokens; 512 by default.")
@LOGS
def serve(run: str | None, stage: str | None, host: str, port: int, max_tokens: int | None, logs: Path) -> int:
    """Serve the model of RUN to other programs, as OpenAI's API.

    Without RUN, it takes the newest run. Only this machine can connect. To allow others, set another --host and put a
    token into the environment variable MINDPRINT_TOKEN.
    """
    folder = chosen(logs, run)
    if stage is not None:
        stage = run_status.find_stage(folder, stage)
    return programs.serve(folder, stage, host, port, max_tokens)


@cli.command()
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


@cli.command()
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


@cli.command()
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


def main() -> None:
    """Entry point of the console script.

    Prints a user error or an operating system error as one sentence on stderr and exits with status 2.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr, sys.stdin):  # a locale that is not UTF-8 cannot encode ✓ or an emoji
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(cli(standalone_mode=False))
    except InputError as error:
        _complain(f"mindprint-tui: {clean(str(error))}")
    except click.ClickException as error:
        words = io.StringIO()
        error.show(words)
        _complain(clean(words.getvalue()).removesuffix("\n"))
    except click.Abort:
        sys.exit(130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        if not isinstance(error, BrokenPipeError):  # the reader closed the pipe, as `head` does: no error
            _complain(f"mindprint-tui: {clean(f'{where}{error.strerror or error}')}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # buffered output would fail again at exit
    sys.exit(2)


def _complain(words: str) -> None:
    """Prints words on stderr, which may be on a full disk, too."""
    with suppress(OSError):
        click.echo(words, err=True)


def _open_closed_streams() -> None:
    """Opens the null device for each standard stream that the shell has closed (`>&-`).

    Python has None for such a stream, and the next file that is opened would get its number.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)
    names = ("stdin", "r"), ("stdout", "w"), ("stderr", "w")
    for descriptor, (name, mode) in enumerate(names):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - open until the end
