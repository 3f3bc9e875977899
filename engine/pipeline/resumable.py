"""Whether an engine may begin a run, or go on with it: what its journal says, and what lies in its folder."""

import os
from collections.abc import Iterable

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.events import Event, Record
from engine.contract.run_folder.folder import RunDir

BEFORE_START = (e.Failed, e.EngineDied, e.Warned)  # of an engine that refused the run or died before it had begun it
PUT_BACK = "put the file back from a copy and resume, or start a new run"


def require_beginning(run: RunDir, records: Iterable[Record]) -> None:
    """Raises InputError if something of a run exists and its journal does not say how the run began.

    Such a run is never begun a second time: that would drop what it has committed.
    """
    number = 0
    for number, record in enumerate(records, 1):
        if isinstance(record.event, e.RunStarted):
            return
        if not isinstance(record.event, BEFORE_START):
            raise InputError(f"{run.journal}:{number}: found {found(record.event)}, expected run_started; {PUT_BACK}")
    there = [path for path in (run.checkpoint, run.summary) if os.path.lexists(path)]
    there += sorted(run.adapters.glob("*")) if run.adapters.is_dir() else []
    if there:
        raise InputError(f"{run.journal}:{number + 1}: run_started is missing, but {there[0]} exists; {PUT_BACK}")


def require_own_folders(run: RunDir) -> None:
    """Raises InputError if a link or a file is in the place of a folder of the run.

    What a kill left half done there is renamed and deleted; behind a link that would be somebody else's files.
    """
    for folder in (run.adapters, run.checkpoint):
        if folder.is_symlink():
            raise InputError(f"{folder}: it is a symbolic link; put the folder itself there")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: a file, where a folder is expected")


def found(event: Event) -> str:
    """What a line says, in a word or two; of a damaged one, what is wrong with it."""
    if not isinstance(event, e.Unknown):
        return event.kind
    return f"a line that cannot be read ({f'{event.name}: ' if event.name else ''}{event.problem})"
