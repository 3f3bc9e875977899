"""Writes each event of the engine to the journal, and its line to training.log."""

import contextlib
import os
from collections import Counter
from pathlib import Path

from engine.contract.errors import Unwritable
from engine.contract.journal.events import Event, Record, Warned
from engine.contract.journal.log_lines import line
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.files import open_own
from engine.contract.run_folder.folder import RunDir

ROOM = 1 << 16  # bytes reserved for the last event of a run with a full disk


class Recorder:
    """The only writer of a run's journal and log; raises InputError if another process is writing them."""

    def __init__(self, run: RunDir) -> None:
        self._journal = JournalWriter(run.journal)
        self._journal.lock()  # engine.lock may be deleted while its holder is at work
        self._log = open(run.log, "a", 1, "utf-8", "backslashreplace", opener=open_own)  # noqa: SIM115
        Path(run.log).chmod(0o600)
        self._reserve = run.path / ".reserve"
        _keep_room(self._reserve)
        self._warnings: Counter[str] = Counter()
        self.said: Counter[str] = Counter()  # events by kind, of this process

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self._journal.seq

    def say(self, event: Event, *, durable: bool = False) -> Record:
        """Writes an event to journal and log; a `durable` one is on the disk when this returns. Raises Unwritable."""
        record = self._journal.append(event, durable=durable)
        self.said[event.kind] += 1
        if (text := line(record)) is not None:
            try:
                self._log.write(text + "\n")
            except OSError as error:
                raise Unwritable(Path(self._log.name), error) from error
        return record

    def warn(self, key: str, message: str) -> None:
        """Journals a warning with the number of times its key has come up."""
        self._warnings[key] += 1
        self.say(Warned(key, message, self._warnings[key]))

    def last_words(self, event: Event) -> None:
        """Journals why nothing more can be written, in the space reserved for it."""
        self._reserve.unlink(missing_ok=True)
        with contextlib.suppress(Unwritable):  # if even that fails, only engine.out is left
            self.say(event, durable=True)

    def close(self) -> None:
        self._journal.close()
        self._log.close()
        self._reserve.unlink(missing_ok=True)


def _keep_room(path: Path) -> None:
    descriptor = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(descriptor, bytes(ROOM))
    finally:
        os.close(descriptor)
