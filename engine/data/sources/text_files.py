"""Reads rows from JSONL and JSON files, plain or packed, in UTF-8 or UTF-16.

A line that is no row is yielded as an error with its place, so that a caller can name all of them. A file that cannot
be read at all raises.
"""

import codecs
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, only_regular
from engine.contract.settings import yaml_file
from engine.contract.wording import short

Row = tuple[str, dict[str, Any] | InputError]  # place, and the row or what is wrong with it
MAX_ROWS = 1_000_000
MAX_LINE = 8 << 20  # bytes
MAX_FILE = 1 << 30  # bytes of a file that is parsed as one piece of JSON, unpacked
MARKS = (  # byte order marks; UTF-32 comes first, since its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TooManyRows(InputError):
    """A file has more rows than are read."""


GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # how packed files begin
KEYS = 8  # most keys that a message names


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens a regular file for reading, unpacked if it is a .gz or .zst file. Raises InputError if it cannot be.

    Text in UTF-16 or UTF-32 is converted to UTF-8, so that callers read UTF-8 alone.
    """
    try:
        with open(path, "rb", opener=only_regular) as file:
            yield as_utf8(unpacked(path, file))
    except FileNotFoundError as error:
        pattern = any(mark in path.name for mark in "*?[")
        hint = "; a pattern is not expanded: name the files one by one, as a list" if pattern else ""
        raise InputError(f"{path}: no such file{hint}") from error
    except (IsADirectoryError, NotRegular) as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"{path}: the data cannot be read: not UTF-8 ({reason}); save it as UTF-8") from error
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from error


def unpacked(path: Path, file: IO[bytes]) -> IO[bytes]:
    """Returns the stream, unpacked if its name or its first bytes say that it is packed."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]
    suffix, head = path.suffix.lower(), buffered.peek(4)[:4]
    if suffix == ".gz" or head.startswith(GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered))
    if suffix == ".zst" or head == ZSTD:
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(buffered), "zstd"))
    return buffered


def as_utf8(file: IO[bytes]) -> IO[bytes]:
    """Returns the stream, converted to UTF-8 if it begins as UTF-16 or UTF-32 does."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]
    head = buffered.peek(4)[:4]
    encoding = next((name for mark, name in MARKS if head.startswith(mark)), None)
    if encoding is None and len(head) == 4 and head.count(0) == 2:
        encoding = "utf-16-le" if head[1] == head[3] == 0 else "utf-16-be"
    if encoding is None:
        return buffered
    return io.BufferedReader(_Recoded(codecs.getreader(encoding)(buffered)))


class _Recoded(io.RawIOBase):
    """A raw stream of UTF-8 bytes, made from a reader of text."""

    def __init__(self, reader: codecs.StreamReader) -> None:
        self._reader, self._left = reader, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._reader.read(1 << 16).encode()
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yields (file:line, object) for every line that is not blank. A JSON array in such a file is read as one."""
    with opened(path) as file:
        if _begins_with(file, b"[") and (rows := _array(file, path)) is not None:
            yield from rows
            return
    with opened(path) as file:
        yield from _lines(path, file)


def _begins_with(file: IO[bytes], mark: bytes) -> bool:
    head: bytes = file.peek(256) if isinstance(file, io.BufferedReader) else b""
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(mark)


def _array(file: IO[bytes], path: Path) -> Iterator[Row] | None:
    """Returns the rows of a file that is one JSON array; None if it is something else, such as a damaged line."""
    data = file.read(MAX_FILE + 1)
    try:
        found = parse(data) if len(data) <= MAX_FILE else None
    except (ValueError, RecursionError):
        return None
    return objects(path, found) if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None


def _lines(path: Path, file: IO[bytes]) -> Iterator[Row]:
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
        where = f"{path}:{number}"
        if number > MAX_ROWS:
            raise TooManyRows(f"{where}: more than {MAX_ROWS:,} lines")
        if len(line) > MAX_LINE:
            raise InputError(f"{where}: the line is longer than {MAX_LINE >> 20} MB")
        if line.strip():
            try:
                yield where, _object(where, line)
            except InputError as error:
                yield where, error


def parse(data: bytes) -> Any:
    """Parses JSON. NaN is read as null, as pandas writes it; raises ValueError or RecursionError."""
    return json.loads(data.decode("utf-8-sig").rstrip(), parse_constant=_constant)


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a number in JSON")


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        data = parse(line)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not a JSON object ({error.msg} at character {error.pos + 1})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON object ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{where}: found {yaml_file.kind(data)}, expected a JSON object")
    return data


def read_json(path: Path, known: Iterable[str]) -> Iterator[Row]:
    """Yields ("<path> row N", object) of a JSON array, from N = 1. A file of JSON lines is read line by line.

    One object is one row if it has a field in `known`. Raises InputError that describes any other content.
    """
    with opened(path) as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise InputError(f"{path}: more than {MAX_FILE >> 30} GB; write it as .jsonl, one row a line")
    try:
        found = parse(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: the data cannot be read: not UTF-8 ({error.reason})") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _lines(path, io.BytesIO(data))
            return
        raise InputError(f"{path}:{error.lineno}: the data cannot be read: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: the data cannot be read: not JSON ({error})") from error
    if isinstance(found, dict) and set(found) & set(known) and not _is_columns(found):
        found = [found]
    if not isinstance(found, list):
        raise InputError(f"{path}: {_described(found)}")
    yield from objects(path, found)


def _is_columns(found: dict[str, Any]) -> bool:
    """Returns whether an object holds columns, as pandas writes a table: each value is a mapping or a list of texts."""
    return len(found) > 1 and all(
        isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], str))
        for value in found.values()
    )


def _described(found: Any) -> str:
    """Describes a JSON file that is not a list of rows."""
    if not isinstance(found, dict):
        return f"found {yaml_file.kind(found)}, expected a list of rows"
    names = ", ".join(short(name) for name in list(found)[:KEYS]) or "none"
    lists = [name for name, value in found.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        return f"found a mapping with the keys {names}; write the list under {short(lists[0])} alone, as the whole file"
    if _is_columns(found):
        return f"found columns ({names}), expected a list of rows; pandas writes one with orient='records'"
    return f"found a mapping with the keys {names}, expected a list of rows"


def objects(path: Path, found: list[Any]) -> Iterator[Row]:
    """Yields each element of a list with its place."""
    if len(found) > MAX_ROWS:
        raise TooManyRows(f"{path}: more than {MAX_ROWS:,} rows; write a smaller file")
    for number, row in enumerate(found, 1):
        where = f"{path} row {number}"
        problem = InputError(f"{where}: found {yaml_file.kind(row)}, expected an object")
        yield where, row if isinstance(row, dict) else problem
