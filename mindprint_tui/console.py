"""Opens the console in this terminal, and says what the shell is told when it closes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.rundir import RunDir
from mindprint_tui import launcher
from mindprint_tui.clean import clean, one_line


def parting(run: RunDir, status: int | None, words: str) -> str:
    """What a person who leaves is told: the console's `words`, unless the run is about to end or has ended since."""
    name = one_line(clean(run.name))
    if status is not None:
        return f"The engine has stopped. See the run again with: mindprint-tui attach {name}"
    if launcher.stopping(run):
        return f"The engine is stopping, with a checkpoint. Go on later with: mindprint-tui --resume {name}"
    return words


def console(run: RunDir | None, logs: Path, begin: Callable[[], RunDir] | None = None, new: bool = True) -> int:
    """Opens the console on a run, on one that `begin` gives, or on the list of runs; returns the exit status.

    `new` says whether `begin` makes a folder, which is removed again where its engine refuses it.
    """
    from mindprint_tui.app import MindprintApp

    made: list[RunDir] = []
    engines: dict[RunDir, subprocess.Popen[bytes]] = {}

    def start(make: Callable[[], RunDir], new: bool) -> RunDir:
        run = make()
        if new:
            made.append(run)
        engines[run] = launcher.spawn(run)
        return run

    def start_config(config: Path) -> RunDir:
        return start(lambda: launcher.prepare(config, (), (), logs, None), True)

    app = MindprintApp(
        run=run, logs=logs, start=None if begin is None else lambda: start(begin, new), start_config=start_config
    )
    app.run()
    status, shown, error = app.status, app.run_dir, app.error
    if status is None and shown is not None:
        status = launcher.ended(shown, engines.get(shown))
        if status == launcher.BAD_INPUT and shown in engines:
            error = error or launcher.last_words(shown)
    for folder in made:
        launcher.discard_refused(folder)
    if app.words and shown is not None:
        print(parting(shown, status, app.words))
    if error and status != launcher.DIED:
        raise InputError(error)
    if error:  # it had begun when it was refused
        print(f"mindprint-tui: {clean(error)}", file=sys.stderr)
    return status or 0
