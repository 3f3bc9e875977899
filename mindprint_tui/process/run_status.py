"""Whether a run's engine is alive, how it ended, and what it answered to a command."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

from engine.contract import names
from engine.contract.errors import InputError, Unwritable
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.journal.events import CurriculumLoaded
from engine.contract.journal.refusal import refused
from engine.contract.journal.store import Tail, records
from engine.contract.regular_file import read_bytes
from engine.contract.run_folder import commands, lock
from engine.contract.run_folder import folder as run_folder
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.run_state import RunState, fold
from mindprint_tui.journal.sanitize import clean, one_line

PATIENCE = 5.0  # seconds that a supervisor is given to take its lock, or to end once it has released it

LAST = 1 << 17  # bytes of a journal that hold an engine's last words


def ended(run: RunDir, supervisor: subprocess.Popen[bytes] | None) -> int | None:
    """The exit status of a run that nobody is at work on, None while somebody is.

    Of one that was started here its supervisor may say that it was refused, died or was stopped; else the journal does.
    """
    until = time.monotonic() + PATIENCE
    while supervisor is not None and supervisor.poll() is None and lock.holder(run) is None:
        if time.monotonic() > until:
            return None  # it is there, if without its lock: somebody may have deleted the folder
        time.sleep(0.02)  # it is about to take the lock, or has just released it
    if lock.holder(run) is not None:
        return None
    if supervisor is not None and supervisor.returncode in (BAD_INPUT, DIED, STOPPED):
        return supervisor.returncode
    finished = said(run).finished
    if finished is not None:
        return finished.exit_status
    return BAD_INPUT if refused(records(run.journal)) else DIED


def said(run: RunDir, since: int = 0) -> RunState:
    """What the end of a journal says, read from byte `since` at the earliest."""
    size = run.journal.stat().st_size if run.journal.exists() else 0
    return fold(RunState(), records(run.journal, max(since, size - LAST)))


def find_topic(run: RunDir, wanted: str) -> str:
    """The id of the topic of a run that `wanted` names; raises InputError, with the ids, if there is none.

    Before the run has read its curriculum only an id is taken.
    """
    titles = topics(run)
    return names.find_topic(wanted, titles) if titles else names.topic_id(wanted)


def topics(run: RunDir) -> dict[str, str]:
    """Id -> title of each topic of a run, in the order of the course; empty until the run has read its curriculum."""
    said = (record.event for record in records(run.journal) if isinstance(record.event, CurriculumLoaded))
    found = next(said, None)
    return {info.id: one_line(clean(info.title)) for info in found.topics} if found else {}


def stopping(run: RunDir) -> bool:
    """Whether an engine is at work on a run and has been asked to stop, which nothing takes back."""
    if lock.holder(run) is None:
        return False
    tail = Tail(run.commands, lock.unheard(run))
    asked = [commands.parse(line, offset) for lines in iter(tail.read, []) for offset, line in lines]
    return any(isinstance(each, commands.Command) and each.kind == "stop" for each in asked)


def last_words(run: RunDir) -> str:
    """What the engine's process printed last, for one that refused a run without a word in the journal."""
    try:
        lines = read_bytes(run.output).decode("utf-8", "replace").strip().splitlines()
    except OSError as error:
        return f"the engine refused the run; {run.output} cannot be read ({error.strerror})"
    return lines[-1] if lines else "the engine refused the run without a word"


def alive(logs: Path) -> bool:
    """Whether an engine is at work on any run in logs."""
    for run in run_folder.list_runs(logs):
        with suppress(OSError):  # a lock that this person may not read
            if lock.holder(run) is not None:
                return True
    return False


def ask(run: RunDir, kind: str, topic: str | None = None) -> str:
    """Appends a command and returns its id; raises InputError where it makes no sense or nobody is there to read it."""
    command = commands.new_command(kind, topic)
    if lock.holder(run) is None:
        raise InputError(f"{run.path}: no engine is at work on this run, so nobody would read the command")
    try:
        commands.append(run.commands, command)
    except OSError as error:
        raise InputError(str(Unwritable(run.commands, error))) from error
    return command.id
