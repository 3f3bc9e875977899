"""Writes files and folders so that they are whole or absent: temporary name, flush, rename."""

import contextlib
import errno
import fcntl
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract.errors import Unwritable
from engine.contract.regular_file import only_regular

LITTLE = 1 << 17  # bytes; a disk with less free space counts as full
LEFT = re.compile(r"\.(.+)\.(\d+|old)")  # what a kill leaves: a half-made file or folder, or the one it was to replace


@contextlib.contextmanager
def _in_words(path: Path, beside: Path) -> Iterator[None]:
    """Turns a failed write into Unwritable, which has a sentence; MLX raises RuntimeError without an errno."""
    try:
        yield
    except Unwritable:
        raise
    except OSError as error:
        raise Unwritable(path, error) from error
    except RuntimeError as error:
        raise Unwritable(path, OSError(_number(beside), str(error))) from error


def _number(beside: Path) -> int:
    """Returns the best guess at the errno behind a library's write failure; 0 if unknown."""
    try:
        if shutil.disk_usage(beside).free < LITTLE:
            return errno.ENOSPC
    except FileNotFoundError:
        return errno.ENOENT
    return 0 if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY else errno.EFBIG


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file in one step; the new one is on the disk when this returns. Raises Unwritable."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with _in_words(path, beside):
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            flush_to_disk(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)


def write_folder(path: Path, fill: Callable[[Path], None], *, replace: bool = True, mode: int = 0o700) -> None:
    """Fills a temporary folder through `fill(folder)`, then renames it to `path`, replacing an older one.

    Without `replace` nothing that exists is overwritten: raises Unwritable if the path is taken. The folder's
    permissions are `mode` without the bits of the umask.
    """
    beside = temporary_path(path, os.getpid())
    shutil.rmtree(beside, ignore_errors=True)
    old = path.with_name(f".{path.name}.old")
    try:
        with _in_words(path, beside):
            beside.mkdir(mode=mode)
            fill(beside)
            for file in beside.iterdir():
                _sync(file)
            _sync_folder(beside)
            if replace and path.exists():
                shutil.rmtree(old, ignore_errors=True)  # a leftover that was in use, so it could not be deleted before
                path.replace(old)
            beside.replace(path)
            _sync_folder(path.parent)
            if replace:
                shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if replace and old.exists() and not path.exists():
            old.replace(path)
        raise


def make_folder(path: Path) -> None:
    """Makes a folder for its owner only, if it does not exist. Raises Unwritable."""
    with _in_words(path, path):
        path.mkdir(mode=0o700, exist_ok=True)


def remove_folder(path: Path) -> None:
    """Renames a folder and then deletes it: if the process is killed, the folder is whole or absent."""
    if path.exists():
        gone = path.with_name(f".{path.name}.{os.getpid()}")
        with _in_words(path, gone):
            path.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Cleans up a folder after a kill: restores an old item if the new one never came, deletes other leftovers.

    Only the sole writer of the folder may call this.
    """
    for left in sorted(folder.iterdir()):
        if (match := LEFT.fullmatch(left.name)) is None:
            continue
        place = folder / match[1]
        if match[2] == "old" and not place.exists():
            left.replace(place)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()


def _sync(path: Path) -> None:
    with open(path, "rb", opener=only_regular) as file:
        flush_to_disk(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush_to_disk(descriptor)
    finally:
        os.close(descriptor)


def open_own(path: str | Path, flags: int) -> int:
    """Opens a file of a run, created for its owner only; raises OSError if the path is a link, a pipe or a folder.

    A run folder may come from elsewhere. No link in it may lead a writer to another file.
    """
    return only_regular(path, flags | os.O_NOFOLLOW)


def append_line(path: Path, line: bytes, *, durable: bool = False) -> None:
    """Appends a line, given without its newline, in one write under a lock; makes the file if there is none.

    If the file ends in a torn line, the new one begins after a newline. A `durable` line is on the disk when this
    returns. Raises OSError, with the file as it was.
    """
    descriptor = open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = b"\n" * torn + line + b"\n"
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, "no space left for the line")
        if durable:
            flush_to_disk(descriptor)
    finally:
        os.close(descriptor)


def replace_own(path: Path, data: bytes) -> None:
    """Replaces a file in one step by one that only its owner can read; raises OSError."""
    beside = temporary_path(path, os.getpid())
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def temporary_path(path: Path, pid: int) -> Path:
    """Returns the temporary path at which a process builds `path`, until it is whole and renamed."""
    return path.with_name(f".{path.name}.{pid}")


def flush_to_disk(descriptor: int) -> None:
    """Flushes an open file or folder to the disk; raises OSError if that fails.

    On macOS, fsync only hands the data to the drive, which may hold it back and lose it when the power fails.
    F_FULLFSYNC waits for the drive. A file system that does not know it (a network disk) gets fsync alone.
    """
    if hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)
