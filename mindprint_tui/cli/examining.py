"""Commands that examine before a run: check, score"""

import json
import shutil
from pathlib import Path

import click

from mindprint_tui import completion
from mindprint_tui.cli.common import JSON, LOGS, OVERRIDES, TOPICS, find, named
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
