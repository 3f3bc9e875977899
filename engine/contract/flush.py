"""What was written is on the disk, and not only on its way there."""

import contextlib
import fcntl
import os


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
