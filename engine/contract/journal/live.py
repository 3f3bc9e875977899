"""What restarts made void in a journal: the one reader that leaves it out, for folds over whole journals."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from engine.contract.journal.codec import decode
from engine.contract.journal.events import Decided, Record, Restored, Step, Void
from engine.contract.journal.store import Tail, records

REPEATED = (Step, Decided)  # what an engine that goes on with a run does once more, from the place it rewinds to


class Rewinds:
    """The restarts that are still ahead of a reader, each with the seq that it rewinds to."""

    def __init__(self, restarts: Iterable[Record]) -> None:
        """From every `restored` of a journal, in order; a line that was written twice counts once."""
        found = {(r.seq, r.event.rewind_to): None for r in restarts if isinstance(r.event, Restored)}
        lowest = accumulate((rewind_to for _, rewind_to in reversed(found)), min)
        self._ahead = list(zip(reversed(found), lowest, strict=True))  # the next one is the last of the list

    def void(self, seq: int) -> bool:
        """Whether a later restart rewinds behind a step or decision of this number that the reader has come to."""
        return bool(self._ahead) and seq > self._ahead[-1][1]

    def passed(self, record: Record) -> None:
        """Says that the reader has come to this record; only `restored` counts."""
        if isinstance(record.event, Restored):
            key = (record.seq, record.event.rewind_to)
            place = next((place for place, (ahead, _) in enumerate(self._ahead) if ahead == key), len(self._ahead))
            del self._ahead[place:]

    def live(self, record: Record) -> Record:
        """The record, or the same with its event in a Void. Records are given in the order of the journal."""
        self.passed(record)
        if isinstance(record.event, REPEATED) and self.void(record.seq):
            return Record(record.seq, record.t, Void(record.event))
        return record


def rewinds(path: Path) -> Rewinds:
    """The restarts of a journal, found without decoding its other lines."""
    tail, found = Tail(path), []
    while lines := tail.lines():
        found += [decode(line) for line in lines if b'"restored"' in line]
    return Rewinds(found)


def live_records(path: Path) -> Iterator[Record]:
    """Every record of a journal, in order; what a later restart made void is a Void. Reads the file twice."""
    ahead = rewinds(path)
    return map(ahead.live, records(path))


def live(told: Sequence[Record]) -> Iterator[Record]:
    """The same of records that are in memory."""
    return map(Rewinds(told).live, told)
