"""Checks a run's journal and folder before an engine starts or resumes the run."""

import os
import re
from collections.abc import Collection, Iterable, Iterator

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.codec import decode
from engine.contract.journal.events import Event, Record
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import short

BEFORE_START = (e.Failed, e.EngineDied, e.Warned)  # from an engine that refused the run or died before run_started
HARMLESS = (
    *("preparing", "predicted", "phase_started", "step", "validated", "step_kept", "warned"),
    *("checkpointed", "audited", "rules", "examined"),
)
KIND = re.compile(rb'"kind": ?"([a-z_]{1,40})"')
DECIDE = (e.TopicStarted, e.TopicFinished, e.Evaluated, e.Decided, e.AdapterChanged)
PUT_BACK = "put the file back from a copy and resume, or start a new run"


def require_beginning(run: RunDir, records: Iterable[Record]) -> None:
    """Raises InputError if a run has files but no run_started event at the beginning of its journal.

    Such a run must not be started again, because that would discard what it has committed.
    """
    number = 0
    for number, record in enumerate(records, 1):
        if isinstance(record.event, e.RunStarted):
            return
        if not isinstance(record.event, BEFORE_START):
            raise InputError(
                f"{run.journal}:{number}: found {describe_event(record.event)}, expected run_started; {PUT_BACK}"
            )
    there = [path for path in (run.checkpoint, run.summary) if os.path.lexists(path)]
    there += sorted(run.adapters.glob("*")) if run.adapters.is_dir() else []
    if there:
        raise InputError(f"{run.journal}:{number + 1}: run_started is missing, but {there[0]} exists; {PUT_BACK}")


def damaged_lines(run: RunDir) -> list[int]:
    """Returns the numbers of the journal lines that are damaged but harmless.

    A damaged line is harmless if its kind can still be read and is one of HARMLESS. It is also harmless if it is the
    one step that is missing between two readable steps of a phase. Raises InputError with the line number if any other
    line is damaged, missing or written twice, because the next actions could depend on it.
    """
    damaged: list[int] = []
    last: tuple[int, Record] | None = None  # the last readable line so far, with its number
    waits: tuple[int, Record] | None = None  # a damaged line that is harmless only if the next line is the right step
    for number, line in enumerate(_lines(run), 1):
        record = decode(line)
        if waits is not None and not (last and _one_step_apart(last[1], record)):
            raise _hangs(run, *waits)
        waits = None
        if record.seq < 0 or isinstance(record.event, e.Unknown):
            damaged.append(number)
            kind = KIND.search(line)
            if kind is None or kind[1].decode() not in HARMLESS:
                waits = number, record
            continue
        if last is not None and not 1 <= record.seq - last[1].seq <= number - last[0]:
            raise InputError(
                f"{run.journal}:{number}: found seq {record.seq} after {last[1].seq}: a line is missing or written "
                f"twice; {PUT_BACK}"
            )
        last = number, record
    if waits is not None:
        raise _hangs(run, *waits)
    return damaged


def _lines(run: RunDir) -> Iterator[bytes]:
    tail = Tail(run.journal)
    while lines := tail.lines():
        yield from lines


def _hangs(run: RunDir, number: int, record: Record) -> InputError:
    return InputError(
        f"{run.journal}:{number}: found {describe_event(record.event)}; the next action may depend on it; {PUT_BACK}"
    )


def _one_step_apart(before: Record, after: Record) -> bool:
    """Tells whether exactly one step of one phase is missing between two lines."""
    match before.event, after.event:
        case e.Step() as one, e.Step() as two:
            same = (one.topic, one.phase, one.of) == (two.topic, two.phase, two.of)
            return same and two.step == one.step + 2 and after.seq == before.seq + 2
        case _:
            return False


def require_known_topics(run: RunDir, records: Iterable[Record], topics: Collection[str]) -> None:
    """Raises InputError with the first journal line about a topic that is not in the run's curriculum."""
    for number, record in enumerate(records, 1):
        topic = getattr(record.event, "topic", None)
        if isinstance(record.event, DECIDE) and topic not in topics:
            what = f"{record.event.kind} of {short(topic)}, which the curriculum does not have"
            raise InputError(f"{run.journal}:{number}: found {what}; {PUT_BACK}")


def require_own_folders(run: RunDir) -> None:
    """Raises InputError if a folder of the run is a symbolic link or a file.

    Half-written files from a killed process are renamed and deleted there. Through a link, that could delete files
    outside the run.
    """
    for folder in (run.adapters, run.checkpoint, run.rolled_back):
        if folder.is_symlink():
            raise InputError(f"{folder}: it is a symbolic link; put the folder itself there")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: a file, where a folder is expected")


def describe_event(event: Event) -> str:
    """Returns the kind of an event; for a damaged line, a description of the damage."""
    if not isinstance(event, e.Unknown):
        return event.kind
    return f"a line that cannot be read ({f'{event.name}: ' if event.name else ''}{event.problem})"
