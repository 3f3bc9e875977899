"""Who holds a run: supervisor and engine lock one file for as long as they live."""

import errno
import fcntl
import json
import os
import time

from engine.contract.errors import InputError, Unwritable
from engine.contract.regular_file import NotRegular, read_text
from engine.contract.run_folder.files import own
from engine.contract.run_folder.folder import RunDir

LOOKS = 10  # tries to take a lock: a console that asks who holds it has it for an instant itself


class Lock:
    """Held by the engine for as long as it lives; the kernel lets it go when the process dies, however it dies.

    `unheard` is the size of commands.jsonl when it was taken: what had been asked by then was asked of nobody.
    """

    def __init__(self, run: RunDir, inherited: int | None = None) -> None:
        """Takes the lock, or shares the one that a supervisor hands on; raises InputError where another has it."""
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
            self._descriptor = own(run.lock, os.O_RDWR | os.O_CREAT)
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
        if _written(run):  # by an engine whose lock was deleted
            os.close(self._descriptor)
            raise InputError(f"{run.path}: an engine is already at work on this run")
        self.sign()

    @property
    def descriptor(self) -> int:
        """To hand on to a child process: the lock is held until both have closed it."""
        return self._descriptor

    def sign(self) -> None:
        """Says that this process is the one to ask about the run."""
        told = {"pid": os.getpid(), "started": time.time(), "unheard": self.unheard}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(told).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def holder(run: RunDir) -> int | None:
    """The pid of the engine that is alive on this run, None if there is none; asks the kernel, not the clock.

    -1 of an engine whose lock was deleted, or says no pid.
    """
    try:
        descriptor = own(run.lock, os.O_RDONLY)
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
        pass  # where nothing can be locked, no engine is at work
    finally:
        os.close(descriptor)
    return -1 if _written(run) else None


def only_writer(journal: int) -> bool:
    """Locks an open journal for its writer; False if another writer has it.

    The lock of the journal stands behind engine.lock, which somebody may delete while its holder is at work.
    """
    for left in reversed(range(LOOKS)):
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01 if left else 0)
        except OSError:  # a disk that cannot lock; engine.lock was refused for it
            return True
    return False


def _written(run: RunDir) -> bool:
    """Whether somebody is writing the run's journal."""
    try:
        descriptor = own(run.journal, os.O_RDONLY)
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


def unheard(run: RunDir) -> int:
    """How much of commands.jsonl was there before the engine that is alive on this run; 0 where that cannot be told."""
    try:
        return int(json.loads(read_text(run.lock))["unheard"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
