"""Decides whether a refused run's folder may be deleted: only if it never got past start-up.

A refusal has exit status 2 only in that case.
"""

from collections.abc import Iterable

from engine.contract.journal import events as e
from engine.contract.journal.events import Event, Record

OPENING = (  # events of an engine before it scores or trains anything
    e.RunStarted,
    e.EngineRestarted,
    e.Preparing,
    e.Warned,
    e.ModelLoaded,
    e.CurriculumLoaded,
    e.Audited,
)


def has_begun(records: Iterable[Record]) -> bool:
    """Tells whether a journal has more than start-ups and refusals; an unreadable line counts as more."""
    return any(not isinstance(record.event, OPENING) and not _refusal(record.event) for record in records)


def refused(records: Iterable[Record]) -> bool:
    """Tells whether an engine refused the run and nothing had begun; stops reading once something has begun."""
    found = False
    for record in records:
        if has_begun([record]):
            return False
        found = found or _refusal(record.event)
    return found


def _refusal(event: Event) -> bool:
    return isinstance(event, e.Failed) and event.where == "input"
