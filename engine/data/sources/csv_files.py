"""Reads rows from CSV and TSV files. Every cell is text, and an empty cell is absent.

No type is guessed: topic 01 stays 01, and an answer "None" stays an answer.
"""

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.wording import short
from engine.data.sources import text_files
from engine.data.sources.text_files import MAX_LINE, Row, opened

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_csv(path: Path, known: Collection[str]) -> Iterator[Row]:
    """Yields ("<path> row N", cells by column) from N = 1.

    The separator is the one that splits the header into the most columns in `known`; if none does, into the most
    columns. Raises InputError for a file that cannot be read as a table.
    """
    csv.field_size_limit(MAX_LINE)
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        yield from _rows(path, text, known)


def _rows(path: Path, text: io.TextIOWrapper, known: Collection[str]) -> Iterator[Row]:
    head = text.readline(MAX_LINE)
    while head.count('"') % 2 and (more := text.readline(MAX_LINE)):  # a column's name may span lines
        head += more
    separator = _separator(head, known)
    header = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    if twice := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{path}: the column {short(twice[0])} is there twice")
    number = 0
    try:
        for cells in csv.reader(text, delimiter=separator, strict=True):
            if not cells:
                continue
            number += 1
            where = f"{path} row {number}"
            if number > text_files.MAX_ROWS:
                raise text_files.TooManyRows(f"{path}: more than {text_files.MAX_ROWS:,} rows; write a smaller file")
            if len(cells) == len(header):
                yield where, {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            else:
                found = f"found {len(cells)} cells, and the header has {len(header)}"
                hint = f" (read with a {SEPARATORS[separator]} between cells)"
                yield where, InputError(f"{where}: {found}{hint}")
    except csv.Error as error:
        raise InputError(f"{path} row {number + 1}: the data cannot be read: {error}") from error


def _separator(head: str, known: Collection[str]) -> str:
    def score(separator: str) -> tuple[int, int]:
        names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
        return sum(name in known for name in names), len(names)

    return max(SEPARATORS, key=score)  # the first of several that are equal
