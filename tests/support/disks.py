"""Disks that are small or read-only, where this process may make them."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

SMALL = 3_000_000  # bytes of a disk that a tiny run fits on


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """A file system of its own at `place`, where this process may mount one; says whether it is one."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "mindprint-test", str(place)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def read_only(folder: Path, mounts: bool) -> Iterator[None]:
    """Nothing can be written in there: by a mount where one may be made, whom permissions do not hold, else by them."""
    if mounts:
        for options in ("bind", "remount,ro,bind"):
            source = [str(folder)] if options == "bind" else []
            subprocess.run(["mount", "-o", options, *source, str(folder)], check=True)
    else:
        folder.chmod(0o500)
    try:
        yield
    finally:
        if mounts:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        else:
            folder.chmod(0o700)
