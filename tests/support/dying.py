"""Ends an engine of this process at a chosen moment, as a SIGKILL would, and writes in its journal what others do."""

import pytest

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir


class Killed(BaseException):
    """As good as SIGKILL: nothing in the engine catches it."""


def die(patch: pytest.MonkeyPatch, owner: object, name: str, count: int, before: bool = False) -> None:
    """Makes the count-th call of a function the last thing that the process does."""
    real, calls = getattr(owner, name), []

    def dying(*args, **kwargs):
        calls.append(name)
        if before and len(calls) == count:
            raise Killed
        found = real(*args, **kwargs)
        if len(calls) == count:
            raise Killed
        return found

    patch.setattr(owner, name, dying)


def died(run: RunDir) -> None:
    """What the supervisor writes before it starts another engine."""
    asked(run, e.EngineDied(-9, "SIGKILL", 1))


def asked(run: RunDir, *events: e.Event) -> None:
    """Goes on with a journal that nobody writes."""
    writer = JournalWriter(run.journal)
    for event in events:
        writer.append(event)
    writer.close()
