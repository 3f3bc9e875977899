"""Reads the elements of long JSON arrays one by one, and keeps what a damaged file has left as text.

The libraries that stream JSON neither say where the damage begins nor go on after it, so that what is lost could not
be counted.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

CHUNK = 1 << 18  # characters that are read at a time
MAX_VALUE = 1 << 25  # characters of one element
KEPT = 1 << 20  # characters of a damaged part that are kept
NEXT = re.compile(r"\}\s*,\s*(?=\{)")  # where the next element of an array of objects begins
_decode = json.JSONDecoder(strict=False).raw_decode


@dataclass(frozen=True, slots=True)
class Damage:
    """A part that is not JSON: its text, of at most KEPT characters, and what is wrong with it."""

    text: str
    problem: str


class JsonStream:
    """JSON text, read from a stream in pieces. Values are taken one after the other."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._text, self._at, self._ended = file, "", 0, False

    def peek(self) -> str:
        """Returns the next character that is not a space, without taking it; "" at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace() and self._text[self._at] != "\ufeff":
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Takes one character. Raises ValueError if another one is there."""
        if (found := self.peek()) != character:
            raise ValueError(f"found {found!r}, expected {character!r}" if found else "the file ends early")
        self._at += 1

    def value(self) -> Any:
        """Takes the next value. Raises ValueError, with the place kept, if it is not JSON."""
        self.peek()
        while True:
            try:
                found, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - 12
                if not cut or len(self._text) - self._at > MAX_VALUE:
                    raise ValueError(error.msg) from error
                if not self._more(len(self._text) - self._at):
                    raise ValueError("the file ends early") from error
                continue
            except RecursionError as error:
                raise ValueError("nested too deep") from error
            if end < len(self._text) or not self._more():
                self._at = end
                return found

    def elements(self) -> Iterator[Any]:
        """Yields each element of an array, or the Damage in its place, and goes on after it."""
        self.take("[")
        while True:
            try:
                if self.peek() == ",":
                    self._at += 1
                if self.peek() == "]":
                    self._at += 1
                    return
                element = self.value()
                if self.peek() not in (",", "]"):
                    yield element
                    raise ValueError("the file ends early" if not self.peek() else f"found {self.peek()!r}")
            except ValueError as error:
                damage = self._skip(str(error))
                if damage.text:
                    yield damage
                if not self.peek():
                    if not damage.text:
                        yield Damage("", str(error))
                    return
                continue
            yield element

    def rest(self, problem: str) -> Damage:
        """Takes all that is left."""
        kept = self._text[self._at :][:KEPT]
        while len(kept) < KEPT and (more := self._file.read(CHUNK)):
            kept += more
        while self._file.read(CHUNK):
            pass
        self._text, self._at, self._ended = "", 0, True
        return Damage(kept[:KEPT].strip(), problem)

    def _skip(self, problem: str) -> Damage:
        """Takes what is left of a damaged element, up to the next one."""
        kept, start = "", self._at
        while True:
            if found := NEXT.search(self._text, start + 1):
                kept += self._text[self._at : found.start() + 1]
                self._at = found.end()
                return Damage(kept[:KEPT], problem)
            keep = max(self._at, len(self._text) - 4096)  # the mark may stand across two pieces
            kept = (kept + self._text[self._at : keep])[:KEPT]
            self._at = start = keep
            if not self._more():
                return self.rest(problem) if not kept else Damage(kept + self.rest(problem).text, problem)

    def _more(self, least: int = 0) -> bool:
        """Reads on; returns whether there was anything."""
        if self._ended:
            return False
        more = self._file.read(max(CHUNK, least))
        self._ended = not more
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
