"""An engine that this console started, and what became of it."""

import time

from engine.contract.exit_codes import BAD_INPUT
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.process import programs, run_status


class Started:
    """A supervisor, and where in the journal the words of its engines begin."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._since = run.journal.stat().st_size if run.journal.exists() else 0
        self._supervisor = programs.spawn(run)

    def end(self) -> tuple[int | None, str | None]:
        """The run's exit status, None while somebody is at work on it, and why it was refused, where it was.

        An engine that has said its last word is given a moment to go.
        """
        until = time.monotonic() + run_status.PATIENCE
        while True:
            status, said = run_status.ended(self._run, self._supervisor), run_status.said(self._run, self._since)
            waits = status is None and (said.finished or said.fatal) and time.monotonic() < until
            if not waits:
                break
            time.sleep(0.02)
        refusal = said.fatal.message if said.fatal and said.fatal.where == "input" else None
        if status is None and said.finished:
            status = said.finished.exit_status
        elif status is None and refusal:
            status = BAD_INPUT
        if status == BAD_INPUT:
            refusal = refusal or run_status.last_words(self._run)
        return status, refusal
