"""The files of a run as its own: how they are opened, and what is called what while it is half made."""

import os
from pathlib import Path


def own(path: str | Path, flags: int) -> int:
    """Opens a file of a run, made for its owner alone; raises OSError where a symbolic link stands in its place.

    A run folder may come from elsewhere, and no link in it is to lead a writer to a file of another kind.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def half_made(path: Path, pid: int) -> Path:
    """Where a process makes what is to stand at `path`, until it is whole and is renamed."""
    return path.with_name(f".{path.name}.{pid}")
