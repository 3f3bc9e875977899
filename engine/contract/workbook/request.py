"""The request of `mindprint-tui new`: paths, whose words, how they become rows; kept in the workbook."""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from engine.contract.errors import InputError, Unwritable
from engine.contract.regular_file import read_bytes
from engine.contract.run_folder.files import replace_own
from engine.contract.settings.config import ModelConfig


class Request(Struct):
    """The options of `mindprint-tui new`, as they were given the last time.

    `sources` are absolute paths. `me` are the names of the person. `names` maps names of others to what replaces them.
    `languages` are the codes of the languages that are kept; if empty, those that the texts are mostly in.
    `window` is in minutes: messages of one author that are further apart do not belong together. `silence` is in hours:
    after it a conversation ends.
    """

    sources: list[str] = []
    me: list[str] = []
    topics: str = "auto"
    redact: bool = False
    names: dict[str, str] = {}
    languages: list[str] = []
    window: float = 10.0
    silence: float = 6.0
    model: str = ModelConfig().name
    quiz_share: float = 0.15

    @property
    def reading(self) -> str:
        """A digest of what decides how a source is read: if it changes, sources are read again."""
        parts = (sorted(self.me), self.redact, sorted(self.names.items()), self.languages, self.window, self.silence)
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_request(path: Path) -> Request:
    """Returns the request in a file. Raises InputError; FileNotFoundError if there is none."""
    try:
        return msgspec.json.decode(read_bytes(path), type=Request)
    except FileNotFoundError:
        raise
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"{path}: {error}") from error


def write_request(path: Path, request: Request) -> None:
    """Replaces the request in one step. Raises Unwritable."""
    try:
        replace_own(path, msgspec.json.format(msgspec.json.encode(request)))
    except OSError as error:
        raise Unwritable(path, error) from error
