"""Exceptions that mean "a person can mend this": their text is a whole sentence, shown without a traceback."""

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
    errno.EISDIR: "a folder, where a file is expected",
    errno.ELOOP: "it is a symbolic link",
}


class InputError(Exception):
    """Bad usage, configuration or data: says the file, line and field, what was found and what was expected."""


class Unwritable(OSError):
    """A file of a run cannot be written: the disk is full, read-only or gone. It ends the run, and no topic.

    `reason` is that without the path; `gone` where what it lies in was taken away.
    """

    def __init__(self, path: Path, error: OSError) -> None:
        self.reason = WORDS.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
        super().__init__(f"{path}: {self.reason}")
        self.gone = error.errno == errno.ENOENT
