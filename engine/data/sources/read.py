"""Reads the rows of a source that the configuration names, or of a file in the curriculum's folder."""

import datetime
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.config import SourceConfig
from engine.contract.settings.load import FIELDS
from engine.contract.settings.row_files import READ, row_kind
from engine.data.sources.csv_files import read_csv
from engine.data.sources.datasets_library import read_dataset
from engine.data.sources.tables import read_table
from engine.data.sources.text_files import Row, read_json, read_jsonl

TOPICS = ("topic", "source")  # `source` is the earlier system's name of the topic


def read_file(path: Path) -> Iterator[Row]:
    """Yields the rows of a file in the curriculum's folder with their places, or what is wrong with a row.

    Values that are null are absent. Raises InputError if the file cannot be read.
    """
    for where, data in _read(path, (*FIELDS, *TOPICS)):
        yield where, data if isinstance(data, InputError) else present(data)


def _read(path: Path, known: Collection[str]) -> Iterator[Row]:
    """Yields the rows of a file; `known` are the names of columns that tell the separator of a CSV file."""
    match row_kind(path.name):
        case ".jsonl" | ".ndjson":
            return read_jsonl(path)
        case ".json":
            return read_json(path, known)
        case ".csv" | ".tsv":
            return read_csv(path, known)
        case ".parquet" | ".arrow":
            return read_table(path)
    there = "a file of a kind that is not read; " + READ if path.exists() else "no such file or folder"
    raise InputError(f"{path}: {there}")


def read_source(source: SourceConfig) -> Iterator[Row]:
    """Yields the rows of a source that the configuration names.

    If the configuration names columns, a row has those fields and the topic; else it has all fields but `source`, which
    in many datasets means something else. Raises InputError if the source cannot be read or has no such column.
    """
    topic = source.topic_column or "topic"
    asked = (*source.columns.values(), *filter(None, [source.topic_column]))
    known = (*asked, topic, *(() if source.columns else FIELDS))
    path, there = Path(source.path), dict[str, None]()  # the columns of the rows, in order
    is_file = row_kind(source.path) or (path.is_absolute() and not path.is_dir())
    rows = _read(path, known) if is_file else read_dataset(source, lambda file: _read(file, known))
    for where, data in rows:
        if isinstance(data, InputError):
            yield where, data
            continue
        there |= dict.fromkeys(data)
        fields = source.columns or {name: name for name in data if name not in (*TOPICS, topic)}
        row = {name: data[column] for name, column in fields.items() if column in data}
        yield where, present(row | ({"topic": data[topic]} if topic in data else {}))
    if there and (missing := [column for column in asked if column not in there]):
        found = ", ".join(there)[:200]
        raise InputError(
            f"{source.path}: there is no column {missing[0]!r}, which the configuration asks for; found {found}"
        )


def present(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a row that have a value: null and NaN count as absent, as pandas writes an empty cell."""
    return {name: value for name, value in data.items() if value is not None and value == value}


def topic_name(value: Any) -> str | None:
    """Returns the name of a topic: text, or a number or a date as text. None for anything else."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ") if value.time() != datetime.time() else value.date().isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) if not isinstance(value, str) else value if value.strip() else None
