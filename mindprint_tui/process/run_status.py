"""State of a run's engine: alive or ended, its exit status, and commands to it."""

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
from engine.contract.vocabulary import BASE
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean, one_line

PATIENCE = 5.0  # seconds that a supervisor has to take its lock, or to exit after it released the lock

LAST = 1 << 17  # bytes at the end of a journal that are enough for an engine's last events


def exit_status(run: RunDir, supervisor: subprocess.Popen[bytes] | None) -> int | None:
    """Returns the exit status of a run, or None while an engine works on it.

    If the run was started here, the supervisor's status tells refused, died or stopped. Else the journal tells.
    """
    until = time.monotonic() + PATIENCE
    while supervisor is not None and supervisor.poll() is None and lock.holder(run) is None:
        if time.monotonic() > until:
            return None  # it is alive without its lock, perhaps because the folder was deleted
        time.sleep(0.02)  # it is about to take the lock, or has just released it
    if lock.holder(run) is not None:
        return None
    if supervisor is not None and supervisor.returncode in (BAD_INPUT, DIED, STOPPED):
        return supervisor.returncode
    finished = read_state(run).finished
    if finished is not None:
        return finished.exit_status
    return BAD_INPUT if refused(records(run.journal)) else DIED


def read_state(run: RunDir, since: int = 0) -> RunState:
    """Returns the state folded from the end of a journal, read from byte `since` at the earliest."""
    size = run.journal.stat().st_size if run.journal.exists() else 0
    return fold(RunState(), records(run.journal, max(since, size - LAST)))


def find_topic(run: RunDir, wanted: str) -> str:
    """Returns the id of the topic that `wanted` names.

    Raises InputError, with the list of ids, if there is none. Before the run has read its curriculum only an id is
    accepted.
    """
    titles = topics(run)
    return names.find_topic(wanted, titles) if titles else names.topic_id(wanted)


def find_stage(run: RunDir, wanted: str) -> str:
    """Returns the stage that `wanted` names: `before`, a topic, or a topic with a phase. Raises InputError."""
    if wanted == BASE:
        return wanted
    topic, phase = names.split_stage(wanted)
    return find_topic(run, topic) + (f":{phase}" if phase else "")


def topics(run: RunDir) -> dict[str, str]:
    """Returns id -> title of each topic of a run, in course order.

    Empty until the run has read its curriculum.
    """
    loaded = (record.event for record in records(run.journal) if isinstance(record.event, CurriculumLoaded))
    found = next(loaded, None)
    return {info.id: one_line(clean(info.title)) for info in found.topics} if found else {}


def stopping(run: RunDir) -> bool:
    """Returns True if an engine works on a run and was asked to stop. A stop cannot be cancelled."""
    if lock.holder(run) is None:
        return False
    tail = Tail(run.commands, lock.commands_before_lock(run))
    asked = [commands.parse(line, offset) for lines in iter(tail.read, []) for offset, line in lines]
    return any(isinstance(each, commands.Command) and each.kind == "stop" for each in asked)


def last_words(run: RunDir) -> str:
    """Returns the last line that the engine printed, for a refused run without a reason in the journal."""
    try:
        lines = read_bytes(run.output).decode("utf-8", "replace").strip().splitlines()
    except OSError as error:
        return f"the engine refused the run; {run.output} cannot be read ({error.strerror})"
    return lines[-1] if lines else "the engine refused the run without a word"


def alive(logs: Path) -> bool:
    """Returns True if an engine works on any run in `logs`."""
    for run in run_folder.list_runs(logs):
        with suppress(OSError):  # the user may not read this lock
            if lock.holder(run) is not None:
                return True
    return False


def send_command(run: RunDir, kind: str, topic: str | None = None, phase: str | None = None) -> str:
    """Appends a command for the engine and returns its id.

    Raises InputError if the command is invalid, or if no engine is running to read it.
    """
    command = commands.new_command(kind, topic, phase)
    if lock.holder(run) is None:
        raise InputError(f"{run.path}: no engine is at work on this run, so nobody would read the command")
    try:
        commands.append(run.commands, command)
    except OSError as error:
        raise InputError(str(Unwritable(run.commands, error))) from error
    return command.id
