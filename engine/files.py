"""Files that are whole or not there: written beside, flushed to the disk, renamed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file in one go; on the disk when this returns."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync_folder(path.parent)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder through `fill(temporary folder)` and puts it in place in one go, instead of an older one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True, mode=0o700)
    try:
        fill(beside)
        for file in beside.iterdir():
            _sync(file)
        _sync_folder(beside)
        old = path.with_name(f".{path.name}.old")
        if path.exists():
            path.replace(old)
        beside.replace(path)
        _sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
