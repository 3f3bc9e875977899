"""Finds what can be read below a path, tells it apart by content, and reads it as items."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, require_regular
from engine.intake.sources import archives
from engine.intake.sources.chats.slack import is_slack, read_slack
from engine.intake.sources.items import Dropped, Item, Tally
from engine.intake.sources.mail.mails import is_maildir, read_maildir
from engine.intake.sources.recognize import recognize
from engine.intake.sources.streams import cleaned

MAX_FILES = 100_000  # of a folder


@dataclass(slots=True)
class Source:
    """A file, or a folder that is one export, of a known kind.

    `name` is its path below the one that was named (the file's own name if a file was named), cleaned. `kind` is what
    it was taken for, such as "WhatsApp chat". `tally` is filled while `items` is read.
    """

    name: str
    kind: str
    path: Path
    reader: Callable[[Tally], Iterator[Item]]
    tally: Tally = field(default_factory=Tally)

    def items(self) -> Iterator[Item]:
        """Yields everything in the source, in its order; can be called again.

        A fault in the middle of a file is a Dropped item with the reason "damaged"; so is a source that cannot be read
        at all. Raises RuntimeError if a unit got lost on the way (rule 23).
        """
        self.tally = tally = Tally()
        try:
            for item in self.reader(tally):
                tally.took(item)
                yield item
        except InputError as error:
            tally.units += 1
            item = Dropped("whole file" if tally.units == 1 else "rest of the file", "damaged", "", str(error))
            tally.took(item)
            yield item
        if not tally.adds_up:
            raise RuntimeError(
                f"{self.path}: {tally.units:,} units were read, but {tally.items:,} items came of them and "
                f"{tally.dropped.total():,} were dropped"
            )


@dataclass(frozen=True, slots=True)
class Unknown:
    """A file that is not read, and why: one sentence."""

    name: str
    path: Path
    why: str


def find(path: Path) -> Iterator[Source | Unknown]:
    """Yields the sources at or below a path, sorted by name. Links and hidden files below a folder are not followed.

    Raises InputError if there is no such path, or if a single named file is of a kind that is not read.
    """
    try:
        path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not path.is_dir():
        for found in _file(path, path.name):
            if isinstance(found, Unknown) and found.path == path:
                raise InputError(f"{path}: {found.why}")
            yield found
        return
    yield from _folder(path, "")


def _folder(path: Path, name: str) -> Iterator[Source | Unknown]:
    here = cleaned(name) or cleaned(path.name)
    if is_slack(path):
        yield Source(here, "Slack export", path, read_slack(path))
        return
    if is_maildir(path):
        yield Source(here, "Maildir", path, read_maildir(path))
    try:
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Unknown(here, path, f"the folder cannot be read ({error.strerror})")
        return
    if len(found) > MAX_FILES:
        yield Unknown(here, path, f"the folder has more than {MAX_FILES:,} entries")
        return
    names = {entry.name for entry in found}
    for entry in found:
        one, below = Path(entry.path), f"{name}/{entry.name}" if name else entry.name
        if entry.is_symlink():
            yield Unknown(cleaned(below), one, "it is a symbolic link, which is not followed")
        elif entry.name.startswith("."):
            yield Unknown(cleaned(below), one, "it is hidden")
        elif entry.is_dir():
            if not (is_maildir(path) and entry.name in ("cur", "new", "tmp")):
                yield from _folder(one, below)
        elif entry.name == "data.json" and names & {"chat.md", "index.md"}:
            yield Unknown(cleaned(below), one, "the same messages are in the Markdown file beside it")
        else:
            yield from _file(one, below)


def _file(path: Path, name: str) -> Iterator[Source | Unknown]:
    try:
        require_regular(path)
        if archives.is_archive(path):
            yield from _archive(path, name)
            return
        kind, reader = recognize(path)
    except NotRegular as error:
        yield Unknown(cleaned(name), path, error.strerror or str(error))
    except InputError as error:
        yield Unknown(cleaned(name), path, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        yield Unknown(cleaned(name), path, f"it cannot be read ({error.strerror or error})")
    else:
        yield Source(cleaned(name), kind, path, reader)


def _archive(path: Path, name: str) -> Iterator[Source | Unknown]:
    """Yields what is in a ZIP archive, as if it were a folder."""
    unpacked = archives.unpack(path)
    for member, why in unpacked.left_out:
        yield Unknown(cleaned(f"{name}/{member}"), path / cleaned(member), why)
    yield from _folder(unpacked.folder, name)
