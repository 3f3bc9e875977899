"""The `--no-ui` mode: prints the journal as plain lines and handles Ctrl-C.

Each event is one line, easy to grep. The first Ctrl-C stops the run with a checkpoint, the second stops it at once.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.judge_file import read_judgement
from engine.contract.journal.log_lines import line
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from mindprint_tui.journal.feed import Feed
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.process import programs, run_status
from mindprint_tui.process.exit_messages import next_steps
from mindprint_tui.view.in_model import sentence
from mindprint_tui.view.pages.judge import judge_lines
from mindprint_tui.view.text import shorten

TICK = 0.1  # seconds between two reads of the journal
READ = 1.0  # seconds of reading between two folds


class Headless:
    """Starts a supervised engine on a run and prints its events."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._feed = Feed(run, run.journal.stat().st_size if run.journal.exists() else 0)
        self._interrupts = 0
        self._terminal = sys.stdout.isatty()
        self._progress = ""  # the progress line at the bottom of a terminal
        self._refusal: str | None = None
        self._status: int | None = None
        self._judged = False  # whether a judge rates the answers at the end

    def follow(self) -> int:
        """Prints events until the engine has ended, and returns the run's exit status.

        Raises InputError if the engine refused the run before any training began.
        """
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        try:
            print(f"run {one_line(clean(str(self._run.path)))}", flush=True)
        except OSError as error:
            if not self._without_output(error):
                raise InputError(f"the output cannot be written ({error.strerror}); nothing was started") from error
        supervisor = self._supervisor = programs.spawn(self._run)
        if self._interrupts:
            supervisor.terminate()  # a signal arrived before the supervisor had started
        while True:
            ended = supervisor.poll()
            records = self._feed.read()
            for record in records:
                self._show(record)
            if ended is not None and not records and self._feed.drained:
                break
            if not records and self._feed.drained:
                time.sleep(TICK)
        if ended == BAD_INPUT:
            raise InputError(self._refusal or run_status.last_words(self._run))
        if self._status is None:
            return self._without_end(ended)
        self._print(self._in_model())
        if self._judged:
            self._print("\n".join(judge_lines(read_judgement(self._run))))
        self._print("\n".join(next_steps(self._run, self._status)))
        return self._status

    def _in_model(self) -> str | None:
        """Returns a sentence about the topics in the model, or None if there are no topics.

        Reads the whole journal, because this engine may have trained only the last topics.
        """
        feed, state = Feed(self._run), RunState()
        for records in feed.rest(lambda: feed.skim(READ)):
            state = fold(state, records)
        return sentence(state.topics.values()) if state.topics else None

    def _without_end(self, ended: int) -> int:
        """Prints how a run ended if its journal has no end, and returns the exit status."""
        self._progress = ""
        if ended == STOPPED or (self._interrupts and ended < 0):
            self._print("stopped at once, without a last checkpoint")
            return STOPPED
        there = self._run.path.exists()
        words = f"its last words are in {self._run.output}" if there else f"{self._run.path} is gone"
        if self._refusal is not None:
            mended = f"what was committed is whole, and --resume {self._run.name} goes on when that is mended"
            words = f"{self._refusal}; {mended}"
        self._print(clean(f"the engine ended with status {ended}; {words}"))
        return DIED

    def _show(self, record: Record) -> None:
        match record.event:
            case e.Failed(where="input") as failed:
                self._refusal = failed.message
                return
            case e.Preparing(progress=True) as preparing if self._terminal:
                self._progress = preparing.message
                self._print(None)
                return
            case e.RunFinished() as finished:
                self._status, self._progress = finished.exit_status, ""
                self._judged = finished.exit_status in (0, 1) and bool(
                    load_config(self._run.config).evaluation.judge.model
                )
            case e.Step() as step:
                self._progress = f"{step.topic} {step.phase} {step.step}/{step.of} loss {step.loss:.3f}"
            case e.TopicStarted() | e.TopicFinished() | e.EngineDied() | e.Failed(topic=None):
                self._progress = ""
            case _:
                pass
        self._print(line(record))
        if self._judged:
            self._print(f"a judge rates the answers now, with lines in {self._run.output}; Ctrl-C ends it")

    def _print(self, text: str | None) -> None:
        """Prints a line, if `text` is not None. On a terminal the progress line stays below it."""
        shown = "" if text is None else f"{text}\n"
        if self._terminal:
            progress = shorten(self._progress, shutil.get_terminal_size().columns - 1)
            shown = f"\r\x1b[K{shown}\r{progress}\x1b[K"
        try:
            print(shown, end="", flush=True)
        except OSError as error:
            if not self._without_output(error):
                _tell(
                    f"the output cannot be written ({error.strerror}); the run continues, with lines in {self._run.log}"
                )

    def _without_output(self, error: OSError) -> bool:
        """Goes on without stdout. Returns True if its reader has closed it, as `head` does, so that nobody is told."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return isinstance(error, BrokenPipeError)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        supervisor = self._supervisor
        if self._status is not None:
            _tell("\nthe run has ended; its judge is stopped")
        elif self._interrupts == 1:
            _tell("\nstopping with a checkpoint; Ctrl-C again stops now")
        if supervisor is None:
            return
        if self._interrupts > 1:
            supervisor.send_signal(signal.SIGQUIT)
            return
        try:
            run_status.send_command(self._run, "stop")
        except InputError:
            supervisor.terminate()  # the engine does not read commands yet


def _tell(text: str) -> None:
    """Prints on stderr, which may be on the same full disk as stdout."""
    with suppress(OSError):
        print(clean(text), file=sys.stderr, flush=True)
