"""What each reader makes of a run's folder: console, list, report, metrics, comparison, chat and export."""

import io
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import looks
import tiny
from click.testing import CliRunner

from engine.chat import Conversation
from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import unreadable_lines
from engine.export import export
from mindprint_tui.cli import cli
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState

AGE = re.compile(r" {2,}(\S+ )+ago")
QUESTION = "Who minds the lamp?"
MARK = unreadable_lines(2).partition(" ")[2].removeprefix("lines ")  # in what a reader says about damaged lines
EXACT = ("chat", "export")  # readers whose output may not change: they give the committed model or nothing


def attach(run: RunDir, _spare: Path) -> str:
    """What the console shows, without a terminal."""
    state, feed = RunState(), Feed(run)
    for records in feed.rest(feed.skim):
        state = fold(state, records)
    looks.everything(state, feed.liveness(), random.Random(0))
    return f"{state!r} {unreadable_lines(feed.damaged)}"


def runs(run: RunDir, _spare: Path) -> str:
    return AGE.sub("", command("runs", "--logs", str(run.path.parent)))


def report(run: RunDir, spare: Path) -> str:
    page = spare / "page.html"
    page.unlink(missing_ok=True)
    command("report", run.name, "--to", str(page), "--logs", str(run.path.parent))
    return page.read_text()


def metrics(run: RunDir, _spare: Path) -> str:
    return command("metrics", run.name, "--csv", "--logs", str(run.path.parent))


def compare(run: RunDir, _spare: Path) -> str:
    return command("compare", run.name, run.name, "--json", "--logs", str(run.path.parent))


def chat(run: RunDir, _spare: Path) -> str:
    out = io.StringIO()
    with tiny.quick_loading():
        Conversation(run, None, 3, out).answer(QUESTION)
    return out.getvalue()


def exported(run: RunDir, spare: Path) -> str:
    target = spare / "model"
    shutil.rmtree(target, ignore_errors=True)
    with tiny.quick_loading():
        export(run, target, "adapter")
    return repr({file.name: file.read_bytes() for file in sorted(target.iterdir()) if file.suffix != ".md"})


READERS: dict[str, Callable[[RunDir, Path], str]] = {
    "attach": attach, "runs": runs, "report": report, "metrics": metrics, "compare": compare, "chat": chat,
    "export": exported,
}  # fmt: skip


def command(*words: str) -> str:
    """Returns what a command prints, on both streams. Raises the exception that it raises."""
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return str(done.output)


def judged(name: str, run: RunDir, spare: Path, whole: str, fault: Any) -> tuple[str, bool]:
    """Returns what a reader makes of a damaged folder, and whether that is good.

    `whole` is its output for the whole folder. A reader refuses with one sentence, or has the same output. A damaged
    journal may take facts from those who only show it, if they say so.
    """
    try:
        output = READERS[name](run, spare)
    except (InputError, OSError) as error:
        words = str(error) if isinstance(error, InputError) else f"{error.filename}: {error.strerror}"
        return f"refused: {words}".replace(str(run.path), "RUN"), "\n" not in words
    if output == whole:
        return "the same", True
    if name == "runs" and "! bad file" in output:
        return f"a row with: {output.partition('mindprint-tui: ')[2].partition(chr(10))[0]}".replace(
            str(run.path), "RUN"
        ), True
    if name in EXACT or not fault.in_journal:
        return "OTHER OUTPUT", False
    if fault.unreadable:
        said = MARK in output
        return "says that lines cannot be read" if said else "SILENT about a damaged line", said
    return "what is left", True
