"""Reads dataset folders and Hugging Face datasets. The library `datasets` finds the files; no code of theirs is run.

The files of a local folder are read like any other file, so their rows are the same whatever the library's cache holds.
A dataset of the hub is read through that cache, so that a run that is resumed does not need the hub.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.regular_file import read_text, require_regular
from engine.contract.settings.config import SourceConfig
from engine.contract.wording import short
from engine.data.sources import text_files
from engine.data.sources.text_files import Row

PLAIN = ("json", "csv", "parquet", "arrow", "cache")  # the builders of `datasets` that are allowed
NAME = re.compile(r"\w[\w.-]*")  # a split without a slice such as [:1000]
PATTERN = "*?["
HUB = "hf://datasets/"  # of every file of a dataset on the Hugging Face hub

ReadFile = Callable[[Path], Iterator[Row]]


def read_dataset(source: SourceConfig, read: ReadFile) -> Iterator[Row]:
    """Yields ("<source> row N", row) for every row of a dataset folder or of a Hugging Face id, from N = 1.

    `read` reads one file. Raises InputError if the data cannot be read.
    """
    path, name = Path(source.path), source.path
    _require_files(path)
    if not path.is_absolute() and path.exists():
        raise InputError(
            f"{name}: expected a Hugging Face dataset, but {path.absolute()} would be read instead; "
            f"a local folder is written as a path, for example ./{name}, and seen from the configuration's folder"
        )
    try:
        for number, (_, row) in enumerate(_rows(source, read), 1):
            if number > text_files.MAX_ROWS:
                raise text_files.TooManyRows
            yield f"{name} row {number}", row
    except text_files.TooManyRows as error:
        part = f"take a part, for example split: {source.split.partition('[')[0]}[:1000]"
        raise InputError(f"{name}: more than {text_files.MAX_ROWS:,} rows; {part}") from error
    except InputError:
        raise
    except Exception as error:  # datasets, pyarrow, the hub's client and its HTTP client raise their own types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        if path.is_absolute():
            raise InputError(f"{name}: the data cannot be read: {reason}") from error
        raise InputError(
            f"The dataset {name!r} could not be loaded from the Hugging Face hub: {reason}; "
            f"a local folder is written as a path, for example ./{name}"
        ) from error


def _rows(source: SourceConfig, read: ReadFile) -> Iterator[Row]:
    path = Path(source.path)
    if path.is_absolute():
        if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            return _of_splits(source, _saved_splits(source, path), read)
        return _of_splits(source, _folder_splits(source), read)
    return _of_hub(source)


def _saved_splits(source: SourceConfig, path: Path) -> dict[str, list[Path]]:
    """Returns the Arrow files by split of a folder that Dataset.save_to_disk or DatasetDict.save_to_disk wrote."""
    try:
        if not (path / "dataset_dict.json").exists():
            return {"train" if NAME.fullmatch(source.split) else source.split.partition("[")[0]: _saved_files(path)}
        splits = json.loads(read_text(path / "dataset_dict.json"))["splits"]
        return {name: _saved_files(path / _plain(name)) for name in splits}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: a folder of save_to_disk whose notes cannot be read ({error})") from error


def _saved_files(folder: Path) -> list[Path]:
    return [folder / _plain(file["filename"]) for file in json.loads(read_text(folder / "state.json"))["_data_files"]]


def _plain(name: Any) -> str:
    """Returns a file name from a folder's notes; raises ValueError if it would lead out of the folder."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"found the file name {short(name)}")
    return name


def _folder_splits(source: SourceConfig) -> dict[str, list[Path]]:
    """Returns the files of a local dataset folder by split, as the library finds them by name or by a README."""
    if "::" in source.path:
        raise InputError(
            f"{source.path}: '::' in a path means several locations to the library datasets; rename the folder"
        )
    if any(mark in source.path for mark in PATTERN):
        raise InputError(
            f"{source.path}: a dataset folder whose path has one of {' '.join(PATTERN)} is not read; rename the folder"
        )
    builder = _builder(source)
    return {str(split): [Path(file) for file in files] for split, files in (builder.config.data_files or {}).items()}


def _of_splits(source: SourceConfig, splits: dict[str, list[Path]], read: ReadFile) -> Iterator[Row]:
    """Yields the rows of the split that the source names, which may have a slice: train[:1000], train[:10%]+test."""

    def rows(name: str) -> Iterator[Row]:
        if name not in splits and len(splits) == 1 and source.split == "train" and "train" not in splits:
            there = ", ".join(splits)
            raise InputError(
                f"{source.path}: there is no split {name!r}, which is read if none is named; found {there}"
            )
        if name not in splits:
            raise InputError(f"{source.path}: there is no split {name!r}; found {', '.join(splits) or 'none'}")
        return (row for file in splits[name] for row in read(file))

    if NAME.fullmatch(source.split):
        yield from rows(source.split)
        return
    import datasets

    named = re.findall(r"(?:^|\+)\s*(\w[\w.-]*)", source.split)
    whole = {name: list(rows(name)) for name in named}
    parts = datasets.ReadInstruction.from_spec(source.split).to_absolute({name: len(whole[name]) for name in whole})
    for part in parts:
        yield from whole[part.splitname][part.from_ : part.to]


def _of_hub(source: SourceConfig) -> Iterator[Row]:
    """Yields the rows of a hub dataset, from the library's cache if it has them."""
    import datasets

    builder = _builder(source)
    more = {"name": source.subset or None, "revision": source.revision or None}
    data = datasets.load_dataset(source.path, split=source.split, **more)
    if type(builder).__module__.endswith(".csv"):
        _require_text(source.path, data.features)
    classes = {column: kind for column, kind in (data.features or {}).items() if hasattr(kind, "int2str")}
    for row in data.remove_columns(list(_media(data.features))):
        names = {column: kind.int2str(row[column]) for column, kind in classes.items() if row[column] is not None}
        yield source.path, row | names


def _media(features: Any) -> Iterable[str]:
    """Returns the columns of images, sounds and other values that are decoded from bytes."""
    return (name for name, kind in features.items() if type(kind).__name__ in ("Image", "Audio", "Video", "Pdf"))


def _require_text(name: str, features: Any) -> None:
    """Raises InputError if the library guessed a type for a column of a hub CSV: 01 would be read as 1."""
    for column, kind in features.items():
        if getattr(kind, "dtype", "string") not in ("string", "large_string", "null"):
            raise InputError(
                f"{name}: the library reads the CSV column {column!r} as {kind.dtype}, and 01 would become 1; "
                "download the file and name it as a path"
            )


def _builder(source: SourceConfig) -> Any:
    """Returns the library's builder of a folder or a hub dataset. Raises InputError if it is of another kind."""
    import datasets

    _require_cache(Path(datasets.config.HF_DATASETS_CACHE))
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # it also raises its errors, and we report them in one sentence
    more = {"name": source.subset or None, "revision": source.revision or None}
    builder = datasets.load_dataset_builder(source.path, **more)
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in PLAIN:
        raise InputError(f"{source.path}: a dataset of the kind {kind!r} is not read; {', '.join(PLAIN[:-1])} are")
    _require_inside(source, builder.config.data_files or {})
    return builder


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


def _require_files(path: Path) -> None:
    """Raises InputError unless a local folder has nothing but regular files."""
    try:
        if path.is_absolute() and path.is_dir():
            for file in path.rglob("*"):
                if not file.is_dir() and file.exists():
                    require_regular(file)
    except OSError as error:
        raise InputError(f"{error.filename or path}: {error.strerror}") from error


def _require_cache(folder: Path) -> None:
    """Raises InputError if the library `datasets` cannot write its cache, which it needs even for a local folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise InputError(f"{folder}: the cache of the library datasets cannot be written; name a folder in HF_HOME")
