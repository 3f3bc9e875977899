"""Files that are whole or not there: written beside, flushed to the disk, renamed."""

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

LITTLE = 1 << 17  # bytes; a disk with fewer is full
LEFT = re.compile(r"\.(.+)\.(\d+|old)")  # what a kill leaves: a file or folder half made, or the one it was to replace


@contextlib.contextmanager
def _in_words(path: Path, beside: Path) -> Iterator[None]:
    """What the system has against a file becomes a sentence; MLX says it without a number."""
    try:
        yield
    except Unwritable:
        raise
    except OSError as error:
        raise Unwritable(path, error) from error
    except RuntimeError as error:
        raise Unwritable(path, OSError(_number(beside), str(error))) from error


def _number(beside: Path) -> int:
    """What is wrong where a library could not write, as the system would number it; 0 where it cannot be told."""
    try:
        if shutil.disk_usage(beside).free < LITTLE:
            return errno.ENOSPC
    except FileNotFoundError:
        return errno.ENOENT
    return 0 if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY else errno.EFBIG


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file in one go; on the disk when this returns."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with _in_words(path, beside):
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            to_disk(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)


def write_folder(path: Path, fill: Callable[[Path], None], *, replace: bool = True) -> None:
    """Makes a folder through `fill(temporary folder)` and puts it in place in one go, instead of an older one.

    Without `replace` nothing that is there gives way: raises Unwritable where the place is taken.
    """
    beside = half_made(path, os.getpid())
    shutil.rmtree(beside, ignore_errors=True)
    old = path.with_name(f".{path.name}.old")
    try:
        with _in_words(path, beside):
            beside.mkdir(mode=0o700)
            fill(beside)
            for file in beside.iterdir():
                _sync(file)
            _sync_folder(beside)
            if replace and path.exists():
                shutil.rmtree(old, ignore_errors=True)  # where it was in use, and could not be taken away before
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


def remove_folder(path: Path) -> None:
    """Takes a folder away in one go: a kill leaves it whole, or not there."""
    if path.exists():
        gone = path.with_name(f".{path.name}.{os.getpid()}")
        with _in_words(path, gone):
            path.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)


def settle(folder: Path) -> None:
    """Ends what a kill left half done in a folder: the old goes back where the new never came, the rest goes.

    Only for who alone writes there.
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
        to_disk(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        to_disk(descriptor)
    finally:
        os.close(descriptor)


def own(path: str | Path, flags: int) -> int:
    """Opens a file of a run, made for its owner alone; raises OSError if a link, a pipe or a folder is in its place.

    A run folder may come from elsewhere, and no link in it is to lead a writer to a file of another kind.
    """
    return only_regular(path, flags | os.O_NOFOLLOW)


def half_made(path: Path, pid: int) -> Path:
    """Where a process makes what is to stand at `path`, until it is whole and is renamed."""
    return path.with_name(f".{path.name}.{pid}")


def to_disk(descriptor: int) -> None:
    """Returns when the disk has what was written to an open file, or to a folder; raises OSError where it cannot.

    macOS's fsync hands it to the drive, which may hold it back and lose it with the power: F_FULLFSYNC waits for it. A
    file system that does not know that (a network disk) has fsync alone.
    """
    if hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)
