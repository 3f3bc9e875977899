"""Reads a journal and marks the events that a later restart made void, for folds over whole journals."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from engine.contract.journal.codec import decode
from engine.contract.journal.events import AdapterChanged, Decided, Event, Record, Restored, Step, TopicStarted, Void
from engine.contract.journal.store import Tail, records

REPEATED = (Step, Decided)  # events that a resumed engine writes again, from the place it rewinds to


def changes_model(event: Event) -> bool:
    """Tells whether a final exam before this event is of another model than the one after it."""
    return isinstance(event, TopicStarted) or (isinstance(event, AdapterChanged) and event.state != "attached")


class Rewinds:
    """The restarts ahead of a reader, each with the seq that it rewinds to."""

    def __init__(self, restarts: Iterable[Record]) -> None:
        """Takes every `restored` record of a journal, in order; a line that was written twice counts once."""
        found = {(r.seq, r.event.rewind_to): None for r in restarts if isinstance(r.event, Restored)}
        lowest = accumulate((rewind_to for _, rewind_to in reversed(found)), min)
        self._ahead = list(zip(reversed(found), lowest, strict=True))  # the next restart is the last item

    def void(self, seq: int) -> bool:
        """Tells whether a later restart rewinds to before `seq`, the step or decision that the reader has reached."""
        return bool(self._ahead) and seq > self._ahead[-1][1]

    def passed(self, record: Record) -> None:
        """Notes that the reader has reached this record; only `restored` records matter."""
        if isinstance(record.event, Restored):
            key = (record.seq, record.event.rewind_to)
            place = next((place for place, (ahead, _) in enumerate(self._ahead) if ahead == key), len(self._ahead))
            del self._ahead[place:]

    def live(self, record: Record) -> Record:
        """Returns the record, its event wrapped in Void if void. Needs the records in the order of the journal."""
        self.passed(record)
        if isinstance(record.event, REPEATED) and self.void(record.seq):
            return Record(record.seq, record.t, Void(record.event))
        return record


def rewinds(path: Path) -> Rewinds:
    """Returns the restarts of a journal, found without decoding its other lines."""
    tail, found = Tail(path), []
    while lines := tail.lines():
        found += [decode(line) for line in lines if b'"restored"' in line]
    return Rewinds(found)


def live_records(path: Path) -> Iterator[Record]:
    """Yields every record of a journal, in order, void events wrapped in Void. Reads the file twice."""
    ahead = rewinds(path)
    return map(ahead.live, records(path))


def live(told: Sequence[Record]) -> Iterator[Record]:
    """Yields the same as `live_records`, for records in memory."""
    return map(Rewinds(told).live, told)
