"""The `mindprint-tui chat` command: sends questions and streams sanitized answers."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED
from engine.contract.python_child import environment, python
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.process.child_output import relayed
from mindprint_tui.process.run_status import find_stage

LONGEST = 4000  # characters of a line that are cleaned together
KEYS = "An empty line or Ctrl-D ends, Ctrl-C stops an answer, /help lists the commands."
HELP = """/reset        begin a new conversation
/stage        go to the model as the run left it, in a new conversation
/stage TOPIC  go to the model after that topic, or to the base model: /stage before
/help         this list"""
TALK = 512  # tokens of an answer on a terminal; evaluation's limit cuts an answer that a person wants to read
ENDS = {"length": " … [cut at the token limit]", "stopped": " … [stopped]"}


class ChatEnded(Exception):
    """The engine's process ended before it answered."""


class SanitizedStream:
    """Sanitizes a stream of pieces. The result equals the sanitized whole text."""

    def __init__(self) -> None:
        self._held = ""  # a carriage return, kept until the next piece arrives
        self._line = ""
        self._shown = 0

    def add(self, piece: str) -> str:
        """Adds a piece and returns the text that can be shown now."""
        text = self._held + piece
        self._held = "\r" if text.endswith("\r") else ""
        self._line += text.removesuffix("\r")
        safe = clean(self._line)
        new, self._shown = safe[self._shown :], len(safe)
        _, newline, rest = self._line.rpartition("\n")
        if newline or len(self._line) > LONGEST:  # so that the cost of a piece depends on the line only
            self._line = rest if newline else ""
            self._shown = len(clean(self._line))
        return new


def command(run: RunDir, stage: str | None, max_tokens: int | None) -> list[str]:
    """Returns the command line of the engine's chat process."""
    words = python("engine.chat", str(run.path.resolve()))
    words += ["--stage", stage] if stage is not None else []
    return words + (["--max-tokens", str(max_tokens)] if max_tokens is not None else [])


class Speaker:
    """The engine's process with the loaded model.

    Its output other than answers goes to the file descriptor `aside`.
    """

    def __init__(self, run: RunDir, stage: str | None, max_tokens: int | None, aside: int) -> None:
        self._child = subprocess.Popen(
            command(run, stage, max_tokens),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=aside,
            encoding="utf-8",
            start_new_session=True,
        )  # a new session, so that the terminal sends Ctrl-C only to this process

    def ready(self) -> str | None:
        """Waits for the model and returns its description.

        Returns None if the model cannot be loaded; the engine has then printed the reason.
        """
        said = self._next()
        return None if said is None else clean(str(said["ready"]))

    def ask(self, question: str, fresh: bool) -> Iterator[str]:
        """Yields the answer in safe pieces, then a note if it was cut or stopped.

        Raises InputError for a question that the engine refuses, and Gone if the process ended.
        """
        stdin = self._child.stdin
        assert stdin is not None
        typed = question.encode("utf-8", "replace").decode()  # another encoding may leave half characters
        try:
            stdin.write(json.dumps({"question": typed, "fresh": fresh}) + "\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise ChatEnded from error
        screened = SanitizedStream()
        with self._interrupted_by_keyboard():
            while (said := self._next()) is not None:
                if "refused" in said:
                    raise InputError(clean(said["refused"]))
                if "end" in said:
                    yield ENDS.get(said["end"], "")
                    return
                yield screened.add(said["text"])
        raise ChatEnded

    def status(self) -> int:
        """Waits for the process to end and returns its exit status."""
        return self._child.wait()

    def close(self) -> None:
        self._child.kill()
        self._child.wait()

    def _next(self) -> dict[str, Any] | None:
        stdout = self._child.stdout
        assert stdout is not None
        line = stdout.readline()
        said: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
        return said

    @contextmanager
    def _interrupted_by_keyboard(self) -> Iterator[None]:
        """Lets Ctrl-C stop the answer, not this program."""
        before = signal.signal(signal.SIGINT, lambda *_: self._child.send_signal(signal.SIGINT))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def chat(run: RunDir, stage: str | None, max_tokens: int | None) -> int:
    """Answers questions until they end, and returns the exit status.

    On a terminal it is one conversation, with commands. If stdin is piped, each line is a separate question without
    history, answered as in evaluation.
    """
    terminal = sys.stdin.isatty()
    with relayed(sys.stderr) as aside:
        try:
            if terminal:
                return _talk(run, stage, lambda found: Speaker(run, found, max_tokens or TALK, aside))
            return _answer_lines(Speaker(run, stage, max_tokens, aside))
        except ChatEnded:
            print("the engine ended before it answered", file=sys.stderr)
            return DIED


def _answer_lines(speaker: Speaker) -> int:
    """Answers each piped line by itself."""
    with closing(speaker):
        if speaker.ready() is None:
            return _failed(speaker)
        for question in _piped():
            _answer(speaker, question, fresh=True)
    return 0


def _talk(run: RunDir, stage: str | None, start: Callable[[str | None], Speaker]) -> int:
    """Holds a conversation on the terminal; `/stage` starts a speaker with another stage of the run."""
    while True:
        print("loading the model…", file=sys.stderr, flush=True)
        with closing(start(stage)) as speaker:
            if (ready := speaker.ready()) is None:
                return _failed(speaker)
            print(f"{ready}. {KEYS}", file=sys.stderr, flush=True)
            command = _converse(run, speaker)
        if command is None:
            return 0
        stage = command.stage


@dataclass(frozen=True, slots=True)
class StageCommand:
    """The command to go on with another stage, as find_stage names it; None is the model as the run left it."""

    stage: str | None


def _converse(run: RunDir, speaker: Speaker) -> StageCommand | None:
    """Answers questions and obeys commands until the lines end (None) or another stage is wanted."""
    fresh = False
    for line in _typed():
        word, _, rest = line.partition(" ")
        if word == "/reset":
            fresh = True
            print("a new conversation", file=sys.stderr)
        elif word == "/stage":
            try:
                return _stage(run, rest.strip())
            except InputError as error:
                print(error, file=sys.stderr)
        elif word.startswith("/"):
            print(HELP if word == "/help" else f"{word}: no such command\n{HELP}", file=sys.stderr)
        else:
            _answer(speaker, line, fresh)
            fresh = False
    return None


def _stage(run: RunDir, named: str) -> StageCommand:
    """Returns the command for a stage as it was typed. Raises InputError if the run has no such topic."""
    return StageCommand(find_stage(run, named) if named else None)


def _failed(speaker: Speaker) -> int:
    """Returns the exit status for an engine that could not load its model and has printed why."""
    return BAD_INPUT if speaker.status() == BAD_INPUT else DIED


def _answer(speaker: Speaker, question: str, fresh: bool) -> None:
    try:
        for piece in speaker.ask(question, fresh):
            print(piece, end="", flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
    print("\n", flush=True)


def _typed(read: Callable[[str], str] = input) -> Iterator[str]:
    """Yields lines from the keyboard until an empty line, Ctrl-D or Ctrl-C."""
    while True:
        try:
            line = read("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not line:
            return
        yield line


def _piped() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip():
            yield line.strip()
