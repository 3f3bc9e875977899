"""Whether anything of a run has begun: a refusal has status 2, and takes the folder with it, only where nothing had."""

from collections.abc import Iterable

from engine.contract.journal import events as e
from engine.contract.journal.events import Event, Record

OPENING = (  # what an engine says before it scores or trains anything
    e.RunStarted,
    e.EngineRestarted,
    e.Preparing,
    e.Warned,
    e.ModelLoaded,
    e.CurriculumLoaded,
    e.Audited,
)


def begun(records: Iterable[Record]) -> bool:
    """Whether a journal says more than that engines opened a run and refused it; a line without a meaning is more."""
    return any(not isinstance(record.event, OPENING) and not _refusal(record.event) for record in records)


def refused(records: Iterable[Record]) -> bool:
    """Whether a journal says that an engine refused the run, and nothing had begun; it is read until something had."""
    found = False
    for record in records:
        if begun([record]):
            return False
        found = found or _refusal(record.event)
    return found


def _refusal(event: Event) -> bool:
    return isinstance(event, e.Failed) and event.where == "input"
