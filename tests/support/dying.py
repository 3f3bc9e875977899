"""Kills an engine in this process at a chosen moment, as SIGKILL would.

Also writes the journal events that other processes would write.
"""

import pytest

from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir


class Killed(BaseException):
    """Acts like SIGKILL: nothing in the engine catches it."""


def die(patch: pytest.MonkeyPatch, owner: object, name: str, count: int, before: bool = False) -> None:
    """Ends the engine at the count-th call of a function: after it, or with `before` instead of it."""
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
    """Writes the event that the supervisor writes before it starts another engine."""
    asked(run, e.EngineDied(-9, "SIGKILL", 1))


def asked(run: RunDir, *events: e.Event) -> None:
    """Appends events to a journal that no process writes."""
    writer = JournalWriter(run.journal)
    for event in events:
        writer.append(event)
    writer.close()
