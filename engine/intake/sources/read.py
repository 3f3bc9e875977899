"""Finds what can be read below a path, tells it apart by content, and reads it as items."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.intake.sources.items import Item, Tally


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
        """Yields everything in the source, in its order, in bounded memory; can be called again.

        A fault in the middle of a file is a Dropped item with the reason "damaged". Raises InputError for a source
        that cannot be opened, and if a unit got lost (rule 23).
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Unknown:
    """A file that is not read, and why: one sentence."""

    name: str
    path: Path
    why: str


def find(path: Path) -> Iterator[Source | Unknown]:
    """Yields the sources at or below a path, sorted by name. Raises InputError if a single named file is not read."""
    raise NotImplementedError
