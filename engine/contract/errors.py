"""Exceptions that a person can fix: their text is a full sentence, shown without a traceback."""

import errno
from pathlib import Path

WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the limit on the size of a file is reached",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "it may not be written",
    errno.EPERM: "it may not be written",
    errno.ENOENT: "the run folder is gone",
    errno.EIO: "the disk fails",
    errno.EISDIR: "found a folder, expected a file",
    errno.ELOOP: "it is a symbolic link",
}


class InputError(Exception):
    """Bad usage, configuration or data.

    The text names the file, line and field. It says what was found and what was expected.
    """


class Unwritable(OSError):
    """A file of a run cannot be written: the disk is full, read-only or gone.

    This ends the run, not a topic. `reason` is the message without the path. `gone` is true if the folder that holds
    the file was removed.
    """

    def __init__(self, path: Path, error: OSError) -> None:
        self.reason = WORDS.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
        super().__init__(f"{path}: {self.reason}")
        self.gone = error.errno == errno.ENOENT
