"""How long a run has been at work, its pauses and the time without an engine left out."""

from msgspec import Struct

from engine.contract.journal import events as e
from engine.contract.journal.events import Record


class WorkTime(Struct, frozen=True):
    """`seconds` of work until `since`; None: nobody is at work now. Moments are those of the journal."""

    seconds: float = 0.0
    since: float | None = None

    def at(self, t: float) -> float:
        """Seconds of work until that moment."""
        return self.seconds + (max(0.0, t - self.since) if self.since is not None else 0.0)

    def after(self, record: Record, last: float) -> "WorkTime":
        """With this record, too; the one before was written at `last`.

        An engine may end without a word, and what is said of its end, or by the next one, comes when it likes: it
        worked until its last record.
        """
        match record.event:
            case e.Paused() | e.RunFinished():
                return WorkTime(self.at(record.t))
            case e.EngineDied() | e.Failed(topic=None):
                return WorkTime(self.at(last))
            case e.RunStarted() | e.EngineRestarted():
                return WorkTime(self.at(last), record.t)
            case e.Resumed() if self.since is None:
                return WorkTime(self.seconds, record.t)
            case _:
                return self
