"""Rows that cannot be used: each is named by its place and field, the first twenty in full and the others counted."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.errors import InputError

SHOWN = 20  # rows that are named in a message
KINDS = 10  # kinds of faults that are counted by name
VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\[?\b\d[\d,.]*\]?")  # what differs between two faults of one kind


@dataclass(frozen=True, slots=True)
class UnusableRow:
    """A row that cannot be used: its place (file:line, or file and row), and what is wrong with it."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"

    @property
    def kind(self) -> str:
        """The problem without the values in it: rows with one fault have one kind."""
        return VALUES.sub("…", self.problem)


class UnusableRows(InputError):
    """Rows of a curriculum cannot be used; `rows` are all of them."""

    def __init__(self, rows: Sequence[UnusableRow]) -> None:
        super().__init__("\n  ".join(sentences(rows)))
        self.rows = tuple(rows)


def unusable(where: str, error: InputError) -> UnusableRow:
    """Returns the row at `where` with the error's text, which may begin with the same place."""
    return UnusableRow(where, str(error).removeprefix(f"{where}: "))


def sentences(rows: Sequence[UnusableRow]) -> list[str]:
    """Returns a sentence for each of the first rows, then the number of the others, and of all by kind."""
    named = [str(row) for row in rows[:SHOWN]]
    return named if len(rows) <= SHOWN else [*named, f"and {len(rows) - SHOWN:,} more; {counted(rows)}"]


def counted(rows: Sequence[UnusableRow]) -> str:
    """Returns the number of rows by kind of fault, the most frequent kind first."""
    kinds = Counter(row.kind for row in rows).most_common()
    rest = len(rows) - sum(count for _, count in kinds[:KINDS])
    told = "; ".join(f"{count:,} rows: {kind}" for kind, count in kinds[:KINDS])
    return f"{len(rows):,} rows cannot be used: {told}" + (f"; {rest:,} rows of other kinds" if rest else "")
