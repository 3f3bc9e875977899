"""Opens texts as streams: regular files, unpacked within bounds, in the encoding that they are in."""

import codecs
import io
import os
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, only_regular
from engine.data.sources.text_files import as_utf8, unpacked
from engine.intake.sources.items import Tally

CHUNK = 1 << 20  # bytes that are read at a time
MAX_UNPACKED = 8 << 30  # bytes of a packed text
MAX_LINE = 8 << 20  # characters; a longer line is read in pieces of this length
FALLBACK = "cp1252"


class _Counted(io.RawIOBase):
    """A raw stream that notes in a tally how many bytes of the file were read."""

    def __init__(self, file: IO[bytes], tally: Tally) -> None:
        self._file, self._tally = file, tally

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._tally.position += len(data)
        return len(data)


class _Bounded(io.RawIOBase):
    """A raw stream that raises OSError after MAX_UNPACKED bytes: packed zeros would go on for days."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, MAX_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"it unpacks to more than {MAX_UNPACKED >> 30} GB")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(path: Path, tally: Tally) -> Iterator[IO[bytes]]:
    """Opens a regular file, unpacked and in UTF-8 if it was in UTF-16. Raises InputError if it cannot be read."""
    try:
        with open(path, "rb", opener=only_regular, buffering=0) as file:
            tally.size, tally.position = os.fstat(file.fileno()).st_size, 0
            counted = io.BufferedReader(_Counted(file, tally), CHUNK)
            yield as_utf8(io.BufferedReader(_Bounded(unpacked(path, counted)), CHUNK))
    except NotRegular as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from error


@contextmanager
def text_of(path: Path, tally: Tally) -> Iterator[IO[str]]:
    """Opens a text: in UTF-8 if it is, else in Windows-1252, which a remark says."""
    encoding = _encoding(path)
    if encoding == FALLBACK:
        tally.remarks.append("it is not UTF-8 and was read as Windows-1252")
    with opened(path, tally) as file:
        yield io.TextIOWrapper(file, encoding, errors="replace")


def lines_of(path: Path, tally: Tally) -> Iterator[tuple[int, str]]:
    """Yields the number and the text of each line, without its end; a very long line comes in pieces."""
    with text_of(path, tally) as text:
        for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), 1):
            yield number, line.rstrip("\n")


def head_of(path: Path, most: int = 1 << 16) -> bytes:
    """Returns the first bytes of a file, unpacked and in UTF-8 if it was in UTF-16. Raises InputError."""
    with opened(path, Tally()) as file:
        return file.read(most)


def _encoding(path: Path) -> str:
    """Returns the encoding of a text: UTF-8 if nearly all of its bytes fit, since a copied file may be damaged."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    wide = broken = 0
    with opened(path, Tally()) as file:
        while data := file.read(CHUNK):
            if not data.isascii():
                text = decoder.decode(data)
                broken += text.count("�")
                wide += sum(map(text.count, {c for c in set(text) if c > "\x7f"}))
    return FALLBACK if broken > 0.1 * wide else "utf-8-sig"


def decoded(data: bytes) -> str:
    """Returns bytes as text: UTF-8, or else Windows-1252."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(FALLBACK, "replace")


def cleaned(name: str) -> str:
    """Returns a name from elsewhere without what a terminal or a line of a file would take for more than a letter."""
    whole = name.encode("utf-8", "replace").decode("utf-8")
    return "".join("?" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in whole)[:300]
