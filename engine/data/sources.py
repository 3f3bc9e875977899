"""Reads rows with their places from JSONL, other files, dataset folders and Hugging Face datasets.

It only reads data and never runs code. It allows a few simple builders of the `datasets` library and opens no script
and no pickle. The size of a line and the number of rows are limited.
"""

import glob
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, only_regular, require_regular
from engine.contract.settings import yaml_file
from engine.contract.settings.config import FIELDS, FILES, SourceConfig

Row = tuple[str, dict[str, Any]]
PLAIN = ("json", "csv", "parquet", "arrow", "cache")  # the builders of `datasets` that are allowed
MAX_ROWS = 1_000_000
HUB = "hf://datasets/"  # of every file of a dataset on the Hugging Face hub
MAX_LINE = 8 << 20  # bytes


def read_file(path: Path) -> Iterator[Row]:
    """Yields the rows of a file in the curriculum's folder: all fields of JSONL, the known fields of other files."""
    if path.suffix.lower() == ".jsonl":
        yield from read_jsonl(path)
        return
    for where, data in _read_dataset(SourceConfig(str(path)), (*FIELDS, "topic", "source"), ()):
        yield where, {name: value for name, value in data.items() if value is not None}


def read_source(source: SourceConfig) -> Iterator[Row]:
    """Yields the rows of a source that the configuration names, with the known fields only.

    If the configuration names columns, a row has those fields and the topic. Raises InputError if the source cannot be
    read.
    """
    fields = source.columns or {name: name for name in FIELDS}
    topic = source.topic_column or "topic"
    asked = (*source.columns.values(), *filter(None, [source.topic_column]))
    jsonl = Path(source.path).suffix.lower() == ".jsonl"
    read = read_jsonl(Path(source.path)) if jsonl else _read_dataset(source, (*fields.values(), topic), asked)
    for where, data in read:
        _require_columns(where, asked, data)
        row = {name: data[column] for name, column in fields.items() if data.get(column) is not None}
        if data.get(topic) is not None:
            row["topic"] = str(data[topic]) if type(data[topic]) is int else data[topic]
        yield where, row


def _require_columns(where: str, asked: Iterable[str], known: Iterable[str]) -> None:
    if missing := [column for column in asked if column not in known]:
        there = ", ".join(map(str, known))[:200] or "none"
        raise InputError(f"{where}: there is no column {missing[0]!r}, which the configuration asks for; found {there}")


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yields (file:line, object) for every line that is not blank."""
    try:
        with open(path, "rb", opener=only_regular) as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
                where = f"{path}:{number}"
                if len(line) > MAX_LINE:
                    raise InputError(f"{where}: the line is longer than {MAX_LINE >> 20} MB")
                if number > MAX_ROWS:
                    raise InputError(f"{where}: more than {MAX_ROWS:,} lines")
                if line.strip():
                    yield where, _object(where, line)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (IsADirectoryError, NotRegular) as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not a JSON object ({error.msg} at character {error.pos + 1})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON object ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{where}: found {yaml_file.kind(data)}, expected a JSON object")
    return data


def _read_dataset(source: SourceConfig, wanted: Collection[str], asked: Collection[str]) -> Iterator[Row]:
    """Yields ("<source> row N", row) for every row, with N from 1 and the `wanted` columns.

    Raises InputError if a column in `asked` does not exist, or if the data cannot be read.
    """
    path, name = Path(source.path), source.path
    whole = path.suffix.lower() in FILES
    _require_files(path, whole)
    if not whole and not path.is_absolute() and path.exists():
        raise InputError(
            f"{name}: a Hugging Face dataset is meant, but {path.absolute()} would be read in its place; "
            f"a local folder is written as a path, for example ./{name}, and seen from the configuration's folder"
        )
    try:
        data = _open(source)
        if (columns := data.column_names) is not None:  # None for a CSV file: its columns are known once rows are read
            _require_columns(name, asked, columns)
            data = data.remove_columns([column for column in columns if column not in wanted])
        classes = {column: kind for column, kind in (data.features or {}).items() if hasattr(kind, "int2str")}
        for number, row in enumerate(data, 1):
            if number > MAX_ROWS:
                part = "write a smaller file" if whole else f"take a part, for example split: {_split(source)}[:1000]"
                raise InputError(f"{name}: more than {MAX_ROWS:,} rows; {part}")
            names = {column: kind.int2str(row[column]) for column, kind in classes.items() if row[column] is not None}
            yield f"{name} row {number}", row | names
    except InputError:
        raise
    except Exception as error:  # datasets, pyarrow, the hub's client and its HTTP client raise their own types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        if path.is_absolute():
            raise InputError(f"{name}: the data cannot be read: {reason}") from error
        raise InputError(
            f"The dataset {name!r} could not be had from the Hugging Face hub: {reason}; "
            f"a local folder is written as a path, for example ./{name}"
        ) from error


def _require_files(path: Path, whole: bool) -> None:
    """Raises InputError unless a local source is a regular file (`whole`) or a folder of regular files.

    The library `datasets` takes `::` in a path for a chain of locations, and expands * ? [ in the path of a folder.
    """
    if "::" in str(path):
        what = "file" if whole else "folder"
        raise InputError(f"{path}: '::' in a path means several locations to the library datasets; rename the {what}")
    if not whole and path.is_absolute() and glob.has_magic(str(path)):
        raise InputError(f"{path}: a dataset folder whose path has one of * ? [ is not read; rename the folder")
    try:
        if whole:
            require_regular(path)
        elif path.is_absolute() and path.is_dir():
            for file in path.rglob("*"):
                if not file.is_dir() and file.exists():
                    require_regular(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{error.filename or path}: {error.strerror}") from error


def _split(source: SourceConfig) -> str:
    """Returns the split that a source names, without a slice such as [:1000]."""
    return source.split.partition("[")[0]


def _require_cache(folder: Path) -> None:
    """Raises InputError if the library `datasets` cannot write its cache, which it needs even for a single file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise InputError(f"{folder}: the cache of the library datasets cannot be written; name a folder in HF_HOME")


def _open(source: SourceConfig) -> Any:
    """Opens the dataset of a source: streams a file, and loads a folder or hub dataset through the library's cache."""
    import datasets
    from datasets.data_files import DataFilesList

    _require_cache(Path(datasets.config.HF_DATASETS_CACHE))
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # it also raises its errors, and we report them in one sentence
    suffix = Path(source.path).suffix.lower()
    if suffix in FILES:
        this = DataFilesList([source.path], [(source.path,)])  # a list of found files; a plain name would be a pattern
        return datasets.load_dataset(
            suffix.removeprefix("."), data_files={"train": this}, split="train", streaming=True
        )
    more = {"name": source.subset or None, "revision": source.revision or None}
    builder = datasets.load_dataset_builder(source.path, **more)
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in PLAIN:
        raise InputError(f"{source.path}: a dataset of the kind {kind!r} is not read; {', '.join(PLAIN[:-1])} are")
    _require_inside(source, builder.config.data_files or {})
    return datasets.load_dataset(source.path, split=source.split, **more)


def _require_inside(source: SourceConfig, files: Mapping[str, Sequence[str]]) -> None:
    """Raises InputError if a dataset's card (README.md) names a file outside of its folder or repository."""
    local = Path(source.path).is_absolute()
    for file in (file for found in files.values() for file in found):
        inside = (
            Path(os.path.normpath(file)).is_relative_to(Path(source.path).resolve()) if local else file.startswith(HUB)
        )
        if not inside:
            raise InputError(
                f"{source.path}: its README.md names the data file {file}, which lies outside; it is not read"
            )
