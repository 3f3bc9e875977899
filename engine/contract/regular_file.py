"""Opens files that came from elsewhere: only regular files, without waiting, up to a size limit.

A pipe would block the reader for ever, and a device would never end.
"""

import errno
import os
import stat
from pathlib import Path

TEXT = 16 << 20  # most bytes of a file that a person writes, such as YAML
STATE = 256 << 20  # most bytes of a file that a program wrote: ledger.json, state.json, config.json of a model

KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegular(OSError):
    """The path is a pipe, a socket or a device, not a file; `strerror` says which."""


def only_regular(path: str | Path, flags: int) -> int:
    """Opener for `open`: raises NotRegular for a pipe, a socket or a device, IsADirectoryError for a folder."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):  # a socket, or a pipe without a reader
            require_regular(Path(path))
        raise
    try:
        _require(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def require_regular(path: Path) -> None:
    """Checks a file that a library opens by name: raises as only_regular does, and FileNotFoundError."""
    _require(path, path.stat().st_mode)


def read_bytes(path: Path, most: int = STATE) -> bytes:
    """Returns the bytes of a regular file; raises OSError (EFBIG) if it has more than `most`."""
    with open(path, "rb", opener=only_regular) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most >> 20} MB", str(path))
    return data


def read_text(path: Path, most: int = STATE) -> str:
    """Returns the text of a regular UTF-8 file; raises OSError or UnicodeDecodeError."""
    return read_bytes(path, most).decode("utf-8")


def _require(path: str | Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "found a folder, expected a file", str(path))
    for is_kind, word in KINDS:
        if is_kind(mode):
            raise NotRegular(errno.EINVAL, f"found {word}, expected a file", str(path))
