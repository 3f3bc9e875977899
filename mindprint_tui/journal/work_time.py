"""Working time of a run, without its pauses and without time when no engine ran."""

from msgspec import Struct

from engine.contract.journal import events as e
from engine.contract.journal.events import Record

CLOCKED = (e.RunStarted, e.Paused, e.Resumed, e.Failed, e.EngineDied, e.EngineRestarted, e.RunFinished)


class WorkTime(Struct, frozen=True):
    """`seconds` of work until `since`. `since` is None while no engine works.

    All times are journal times.
    """

    seconds: float = 0.0
    since: float | None = None

    def at(self, t: float) -> float:
        """Returns the seconds of work until time `t`."""
        return self.seconds + (max(0.0, t - self.since) if self.since is not None else 0.0)

    def after(self, record: Record, last: float) -> "WorkTime":
        """Returns the clock advanced by one record. `last` is the time of the record before it.

        If an engine died silently, it counts as working until its last record: the events about its death may come much
        later.
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
