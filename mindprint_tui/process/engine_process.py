"""An engine that this console started, and how it ended."""

import time

from engine.contract.exit_codes import BAD_INPUT
from engine.contract.run_folder import lock
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.process import programs, run_status


class Started:
    """A supervisor process, and the journal offset where the events of its engines begin."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._since = run.journal.stat().st_size if run.journal.exists() else 0
        self._supervisor = programs.spawn(run)

    def end(self) -> tuple[int | None, str | None]:
        """Returns the run's exit status and, if the engine refused the run, the reason.

        The status is None while an engine works on the run. An engine that has written its last event gets PATIENCE
        seconds to exit.
        """
        until = time.monotonic() + run_status.PATIENCE
        ended = run_status.read_state(self._run, self._since).finished
        if ended is not None and lock.holder(self._run) is None:
            return ended.exit_status, None  # the supervisor may still wait for a judge
        while True:
            status, said = (
                run_status.exit_status(self._run, self._supervisor),
                run_status.read_state(self._run, self._since),
            )
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
