"""Batch of consecutive steps of one phase, reduced to curve points and the last step.

Most of a long journal consists of such steps.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.contract.journal.events import Record, Step
from engine.contract.journal.live import Rewinds

Point = tuple[int, int, float]  # seq, step, loss


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive `points` of one phase. `last` is the complete last step, written at time `t`."""

    points: list[Point]
    last: Step
    t: float

    @property
    def seq(self) -> int:
        return self.points[-1][0]


def live(records: Iterable[Record | Stretch], ahead: Rewinds) -> Iterator[Record | Stretch]:
    """Yields the records in journal order, with steps that a restart made void removed from stretches.

    A stretch with some void points keeps its `last` step, even if that step is void. A single void record becomes a
    Void event.
    """
    for record in records:
        if isinstance(record, Record):
            yield ahead.live(record)
        elif not ahead.void(record.seq):
            yield record
        elif points := [point for point in record.points if not ahead.void(point[0])]:
            yield Stretch(points, record.last, record.t)
