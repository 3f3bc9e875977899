"""The lock of a run: the supervisor and the engine lock one file for as long as they live."""

import errno
import fcntl
import json
import os
import time

from engine.contract.errors import InputError, Unwritable
from engine.contract.regular_file import NotRegular, read_text
from engine.contract.run_folder.files import open_own
from engine.contract.run_folder.folder import RunDir

LOOKS = 10  # tries to take a lock; a console that asks for its holder also has it for an instant


class Lock:
    """The lock of a run; the kernel releases it when the process ends, however it ends.

    `unheard` is the size of commands.jsonl, in bytes, when the lock was taken. Earlier commands were written while no
    engine ran.
    """

    def __init__(self, run: RunDir, inherited: int | None = None) -> None:
        """Takes the lock, or shares the `inherited` one of a supervisor; raises InputError if it is held elsewhere.

        Also raises InputError if the file cannot be locked, or if `inherited` is not this run's lock.
        """
        if inherited is not None:
            try:
                same = os.path.samestat(os.fstat(inherited), run.lock.lstat())
            except OSError:
                same = False
            if not same:
                raise InputError(
                    f"{run.lock}: the lock that was handed on is not this run's; it was deleted or replaced"
                )
            os.set_inheritable(inherited, False)
            self._descriptor = inherited
            self.unheard = int(json.loads(os.pread(inherited, 4096, 0))["unheard"])
            self.sign()
            return
        try:
            self._descriptor = open_own(run.lock, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise InputError(str(Unwritable(run.lock, error))) from error
        for left in reversed(range(LOOKS)):
            self.unheard = run.commands.stat().st_size if run.commands.exists() else 0
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if not left:
                    os.close(self._descriptor)
                    raise InputError(f"{run.path}: an engine is already at work on this run") from error
                time.sleep(0.01)
            except OSError as error:
                os.close(self._descriptor)
                why = f"its disk cannot lock a file ({error.strerror}); keep runs on one that can (--logs)"
                raise InputError(f"{run.path}: {why}") from error
        if _written(run):  # by an engine whose lock file was deleted
            os.close(self._descriptor)
            raise InputError(f"{run.path}: an engine is already at work on this run")
        self.sign()

    @property
    def descriptor(self) -> int:
        """The descriptor to pass to a child process; the lock is held until both have closed it."""
        return self._descriptor

    def sign(self) -> None:
        """Writes the pid of this process into the lock file, so that others can find it."""
        told = {"pid": os.getpid(), "started": time.time(), "unheard": self.unheard}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(told).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def holder(run: RunDir) -> int | None:
    """Returns the pid of the engine that is alive on this run, None if there is none; asks the kernel, not the clock.

    Returns -1 if the lock file of a live engine was deleted or has no pid.
    """
    try:
        descriptor = open_own(run.lock, os.O_RDONLY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP) or isinstance(error, NotRegular | IsADirectoryError):
            return -1 if _written(run) else None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return int(json.loads(os.read(descriptor, 4096))["pid"])
        except (ValueError, KeyError, TypeError):
            return -1
    except OSError:
        pass  # no engine can start on a disk that cannot lock
    finally:
        os.close(descriptor)
    return -1 if _written(run) else None


def only_writer(journal: int) -> bool:
    """Locks an open journal for its writer; returns False if another writer has it.

    This is a second guard: a person may delete engine.lock while its holder is at work.
    """
    for left in reversed(range(LOOKS)):
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01 if left else 0)
        except OSError:  # a disk that cannot lock; taking engine.lock already failed there
            return True
    return False


def _written(run: RunDir) -> bool:
    """Tells whether a process is writing the run's journal."""
    try:
        descriptor = open_own(run.journal, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return False


def commands_before_lock(run: RunDir) -> int:
    """Returns the size of commands.jsonl, in bytes, when the live engine took the lock; 0 if unknown."""
    try:
        return int(json.loads(read_text(run.lock))["unheard"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
