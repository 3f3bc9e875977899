"""Commands that examine: check before a run, score texts, judge a finished run"""

import json
import shutil
from pathlib import Path

import click

from engine.contract.journal.judge_file import read_judgement
from mindprint_tui import completion
from mindprint_tui.cli.common import JSON, LOGS, OVERRIDES, RUN, TOPICS, chosen, find, named
from mindprint_tui.process import programs, run_folder


@click.command()
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


@click.command()
@RUN
@click.option(
    "--model", metavar="NAME", help="A model to load: embedded, a folder or a hub id; with --endpoint, a name."
)
@click.option("--endpoint", metavar="URL", help="Base address of an endpoint, such as http://127.0.0.1:11434/v1.")
@click.option("--key-variable", metavar="NAME", help="The environment variable that holds the endpoint's key.")
@click.option("--plain-http", is_flag=True, help="Allow http:// to another machine, which encrypts nothing.")
@JSON
@LOGS
def judge(
    run: str | None,
    model: str | None,
    endpoint: str | None,
    key_variable: str | None,
    plain_http: bool,
    as_json: bool,
    logs: Path,
) -> int:
    """Let a larger model rate the answers of RUN.

    It rates sense and content. Without RUN, it takes the newest run; without options, the judge of its configuration.
    First the judge rates texts
    whose marks are known. Marks are kept in the run's folder, and a rating that broke off goes on. The exit status is 1
    if the judge is not reliable.
    """
    from mindprint_tui.view.pages.judge import as_data, judge_lines

    folder = chosen(logs, run)
    given = {"--model": model, "--endpoint": endpoint, "--key-variable": key_variable}
    arguments = [f"{name}={value}" for name, value in given.items() if value is not None]
    status = programs.judge(folder, [*arguments, *(["--plain-http"] if plain_http else [])])
    if status in (0, 1):
        found = read_judgement(folder)
        data = as_data(found, folder)
        click.echo(json.dumps(data, indent=1, ensure_ascii=False) if as_json else "\n".join(judge_lines(found)))
    return status


@click.command()
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
