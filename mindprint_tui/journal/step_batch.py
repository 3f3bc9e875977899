"""Steps of one phase in a row, of which only the curve and the last one matter: most of a long journal."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.contract.journal.events import Record, Step
from engine.contract.journal.live import Rewinds

Point = tuple[int, int, float]  # seq, step, loss


@dataclass(frozen=True, slots=True)
class Stretch:
    """`points` of one phase in order; `last` is the whole of the last step, read at `t`."""

    points: list[Point]
    last: Step
    t: float

    @property
    def seq(self) -> int:
        return self.points[-1][0]


def live(records: Iterable[Record | Stretch], ahead: Rewinds) -> Iterator[Record | Stretch]:
    """The records that no restart made void, in the order of the journal; a stretch without its void points.

    A stretch of which some points are void keeps its last step, whether that is or not.
    """
    for record in records:
        if isinstance(record, Record):
            yield ahead.live(record)
        elif not ahead.void(record.seq):
            yield record
        elif points := [point for point in record.points if not ahead.void(point[0])]:
            yield Stretch(points, record.last, record.t)
