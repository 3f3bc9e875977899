"""Runs the engine's intake for `mindprint-tui new`: keeps the request, shows progress, asks who the person is."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.python_child import environment, python
from engine.contract.run_folder.files import make_folder, remove_folder
from engine.contract.settings.yaml_file import mapping, read_text
from engine.contract.wording import short
from engine.contract.workbook.files import WorkbookDir
from engine.contract.workbook.progress import Doing, People, Ready, Said, decode
from engine.contract.workbook.request import Request, read_request, write_request
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.process.child_output import relayed
from mindprint_tui.process.programs import how_it_died, passing_on

NAMED = 20  # people that are listed
SHOWN_EVERY = 15.0  # seconds between two lines of progress without a terminal


@dataclass(slots=True)
class Outcome:
    """How an intake ended: its status; the people of whom one has to be chosen; whether the files are written."""

    status: int
    people: list[tuple[str, int]]
    ready: bool


def workbook_at(name: Path) -> WorkbookDir:
    """Returns the workbook of that name, new or there already.

    Raises InputError if something else has the name: nothing of it is touched.
    """
    folder = WorkbookDir(name)
    if not name.name or name.name in (".", ".."):
        raise InputError(f"{name}: found no name, expected one for a new folder, such as me")
    if name.exists() and not name.is_dir():
        raise InputError(f"{name} is a file; name a folder that does not exist yet, or one that new has made")
    if name.is_dir() and not folder.request.is_file() and any(name.iterdir()):
        raise InputError(f"{name} was not made by mindprint-tui new, so nothing of it is touched; take another name")
    if not name.parent.is_dir():
        raise InputError(f"{name.parent}: no such folder")
    return folder


def earlier_request(folder: WorkbookDir) -> Request:
    """Returns the request of the last time, or an empty one."""
    try:
        return read_request(folder.request)
    except FileNotFoundError:
        return Request()


def keep_request(folder: WorkbookDir, request: Request) -> None:
    """Writes the request, with the folder that it belongs to."""
    make_folder(folder.path)
    make_folder(folder.inner)
    write_request(folder.request, request)


def restore_request(folder: WorkbookDir, earlier: Request) -> None:
    """Puts the earlier request back after a mistake. Without one, removes the folder, unless drafts were made."""
    if earlier.sources:
        write_request(folder.request, earlier)
    elif not folder.drafts.is_file():
        remove_folder(folder.path)


def read_names(path: Path) -> dict[str, str]:
    """Returns a table of names and what replaces them: two columns of a CSV file, or a mapping in a YAML file."""
    try:
        if path.suffix.lower() in (".yaml", ".yml"):
            found = [(str(name), str(other)) for name, other in mapping(path, read_text(path)).items()]
        else:
            rows = [row for row in csv.reader(read_text(path).splitlines()) if any(cell.strip() for cell in row)]
            for number, row in enumerate(rows, 1):
                if len(row) != 2:
                    raise InputError(
                        f"{path}, row {number}: found {len(row)} columns, expected 2: a name, and what replaces it"
                    )
            found = [(row[0].strip(), row[1].strip()) for row in rows]
    except FileNotFoundError:
        raise InputError(f"--names {path}: no such file") from None
    except csv.Error as error:
        raise InputError(f"{path}: {error}") from error
    if bad := next((name for name, _ in found if not name.strip()), None):
        raise InputError(f"{path}: found the name {short(bad)}, expected text")
    return dict(found)


def intake(folder: WorkbookDir, painted: bool) -> Outcome:
    """Runs the intake of a workbook to its end, and shows its progress on stdout; errors go to stderr."""
    outcome = Outcome(0, [], False)
    show = _Progress(painted)
    with relayed(sys.stderr) as err:
        child = subprocess.Popen(
            python("engine.new", str(folder.path.resolve())),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            start_new_session=True,
        )
        with passing_on(child):
            for line in child.stdout or ():
                _take(line, outcome, show)
            outcome.status = child.wait()
        show.end()
    if outcome.status not in (0, BAD_INPUT, STOPPED):
        how = how_it_died(outcome.status)
        print(
            f"{clean(str(folder.path))}: the intake died ({how}); the same command goes on where it was",
            file=sys.stderr,
        )
        outcome.status = DIED
    return outcome


def _take(line: bytes, outcome: Outcome, show: "_Progress") -> None:
    try:
        event = decode(line)
    except msgspec.MsgspecError as error:
        raise InputError(f"the intake printed a line that cannot be read: {error}") from error
    if isinstance(event, Doing):
        show.doing(event)
    elif isinstance(event, Said):
        show.said(event.text)
    elif isinstance(event, People):
        outcome.people = event.found
    elif isinstance(event, Ready):
        outcome.ready = True


class _Progress:
    """Prints lines that stay, and what is being done: as one line that changes, or now and then without a terminal."""

    def __init__(self, painted: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._painted, self._clock = painted, clock
        self._what, self._told = "", 0.0

    def said(self, text: str) -> None:
        self.end()
        print(one_line(clean(text)), flush=True)

    def doing(self, event: Doing) -> None:
        text = one_line(clean(_progress(event)))
        if self._painted:
            print(f"\r\x1b[K{text[:78]}", end="", flush=True)
        elif event.what != self._what or self._clock() - self._told >= SHOWN_EVERY:
            print(text, flush=True)
            self._told = self._clock()
        self._what = event.what

    def end(self) -> None:
        """Ends the line that changes."""
        if self._painted and self._what:
            print("\r\x1b[K", end="", flush=True)
        self._what = ""


def _progress(event: Doing) -> str:
    if not event.total:
        return f"{event.what} …"
    if event.unit == "bytes":
        return f"{event.what}, {100 * min(event.done, event.total) // event.total} %"
    return f"{event.what}, {event.done:,} of {event.total:,} {event.unit}"


def people_lines(people: Iterable[tuple[str, int]]) -> list[str]:
    """Returns a numbered line for each of the people who wrote most."""
    found = list(people)
    lines = [
        f"{number:3}  {one_line(clean(name))} ({count:,})" for number, (name, count) in enumerate(found[:NAMED], 1)
    ]
    return lines + ([f"     and {len(found) - NAMED} more"] if len(found) > NAMED else [])
