"""Runs the console in this terminal and returns the exit status for the shell."""

import sys
from collections.abc import Callable
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, CONSOLE_FAILED, DIED, STOPPED
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.process import run_folder, run_status
from mindprint_tui.process.engine_process import Started
from mindprint_tui.process.exit_messages import console_failed, engine_continues, exit_message, next_steps
from mindprint_tui.view.in_model import sentence


def console(
    run: RunDir | None,
    logs: Path,
    begin: Callable[[], RunDir] | None = None,
    new: bool = True,
    first: bool = False,
) -> int:
    """Runs the console and returns the exit status.

    Opens the console on `run`, on a run that `begin` returns, or on the list of runs. With `first` it opens the first
    screen instead of the list. `new` says that `begin` creates a folder; it is removed if the engine refuses the run.

    Raises InputError with the reason if the run could not be started.
    """
    from mindprint_tui.tui.app import MindprintApp

    made: list[RunDir] = []
    engines: dict[RunDir, Started] = {}

    def start(make: Callable[[], RunDir], new: bool) -> RunDir:
        run = make()
        if new:
            made.append(run)
        engines[run] = Started(run)
        return run

    def start_config(config: Path) -> RunDir:
        return start(lambda: run_folder.prepare(config, (), (), logs, None), True)

    app = MindprintApp(
        run=run,
        logs=logs,
        start=None if begin is None else lambda: start(begin, new),
        start_config=start_config,
        first=first,
    )
    app.run()
    if app.return_code:  # Textual has printed its traceback
        print(console_failed(app.run_dir), file=sys.stderr)
        return CONSOLE_FAILED
    status, shown, error, words = app.status, app.run_dir, app.error, app.words
    if shown is not None and shown in engines:  # the app may only know how an earlier engine ended
        status, error = engines[shown].end()
        words = engine_continues(shown) if status is None else words
        if status in (0, 1, STOPPED):
            _print_topics(app.state)
            print("\n".join(next_steps(shown, status)))
    elif shown is not None and status is None:
        status = run_status.exit_status(shown, None)
        _print_topics(app.state)
    for folder in made:
        run_folder.discard_refused(folder)
    if words and shown is not None and status != BAD_INPUT:
        print(exit_message(shown, status, words))
    if error and status != DIED:
        raise InputError(error)
    if error:  # training had begun before the engine refused
        print(f"mindprint-tui: {clean(error)}", file=sys.stderr)
    return status or 0


def _print_topics(state: RunState) -> None:
    """Prints which topics are in the model, if the run is finished."""
    if state.finished is not None and state.topics:
        print(sentence(state.topics.values()))
