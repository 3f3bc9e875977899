"""Shell completion of runs, configurations and topics.

A completion function never fails: if something cannot be read, it offers nothing.
"""

from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from engine.contract.errors import InputError
from engine.contract.run_folder import folder as run_folders
from engine.contract.settings.course import read_course
from engine.contract.settings.load import load_config
from mindprint_tui.process import run_folder, run_status

Parameter = click.Parameter | None


def runs(context: click.Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes names of runs, newest first. Completes paths if the word contains a slash."""
    logs, start = Path(context.params.get("logs") or "logs"), ""
    if "/" in incomplete:
        logs, start = Path(incomplete).parent, incomplete.rpartition("/")[0] + "/"
    return _matching([start + run.name for run in run_folders.list_runs(logs)], incomplete)


def configurations(_context: click.Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes configuration files of the same folder and those shipped with the program, else any file."""
    start = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    names = [start + path.name for path in sorted(Path(start or ".").glob("*.yaml"))]
    names += [f"configs/{path.name}" for path in sorted(run_folder.shipped_configs().glob("*.yaml"))]
    return _matching(list(dict.fromkeys(names)), incomplete) or [CompletionItem(incomplete, type="file")]


def run_topics(context: click.Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes topic ids of the run on the command line, or of the newest run if none is named."""
    logs, name = Path(context.params.get("logs") or "logs"), _given(context, "run")
    with suppress(InputError, OSError):
        path = Path(name or "")
        run = run_folders.find(path.parent if "/" in (name or "") else logs, path.name or None)
        return _matching(list(run_status.topics(run)), incomplete)
    return []


def course_topics(context: click.Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes topic ids from the curriculum.yaml of the configuration on the command line."""
    config = _given(context, "config")
    with suppress(InputError, OSError):
        path = run_folder.find_config(Path(config or run_folder.DEFAULT))
        course = Path(load_config(path).curriculum.path) / "curriculum.yaml"
        return _matching([place.id for place in read_course(course).values()], incomplete)
    return []


def _given(context: click.Context, name: str) -> str | None:
    """Returns an argument that is already on the command line.

    If an option before the word has no value yet, click leaves the argument in `context.args`.
    """
    value = context.params.get(name) or next((word for word in context.args if not word.startswith("-")), None)
    return None if value is None else str(value)


def _matching(names: list[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
