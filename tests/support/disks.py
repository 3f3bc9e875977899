"""Small and read-only file systems for tests, if this process may mount them."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

SMALL = 3_000_000  # bytes of a disk that is large enough for a tiny run


@contextlib.contextmanager
def small_disk(place: Path, inodes: int = 0) -> Iterator[bool]:
    """Mounts a small file system at `place`, with room for so many `inodes` (files and folders) if that is not 0.

    Yields False if this process may not mount.
    """
    place.mkdir()
    options = f"size={SMALL}" + (f",nr_inodes={inodes}" if inodes else "")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "mindprint-test", str(place)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def read_only(folder: Path, mounts: bool) -> Iterator[None]:
    """Makes a folder read-only.

    Uses a mount if `mounts` is set, because permissions do not stop a user who may mount. Else it uses permissions.
    """
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
