"""Reads the sources of a request into drafts: each source whole, or again the next time."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.workbook.drafts import Decision, Draft, Turn, draft_id
from engine.contract.workbook.files import WorkbookDir, read_lines
from engine.contract.workbook.progress import Doing, Said
from engine.contract.workbook.request import Request
from engine.intake.draft_store import DraftStore, DroppedLine
from engine.intake.people import Who, authors, require_somebody
from engine.intake.rows.conversations import Conversations
from engine.intake.rows.flags import Flags
from engine.intake.rows.languages import main_languages
from engine.intake.rows.near_duplicates import COMPARED
from engine.intake.rows.parts import Left, Part
from engine.intake.rows.passages import Passages
from engine.intake.rows.replacements import Replacements
from engine.intake.source_log import SourceLog, SourceRecord, stamp_of
from engine.intake.sources.items import Dropped, Exchange, Item, Message, Passage
from engine.intake.sources.read import Source, Unknown, find
from engine.rules.enforce import require

SAMPLED, SOURCES_SAMPLED = 300, 40  # items of a source, and sources, from which the person's languages are found
MAIL_SILENCE = 60 * 24 * 3600.0  # seconds: an answer to a mail may take weeks
MAIL = ("mail", "mbox", "maildir")  # words in the kind of a source of mails
TELLING = 2000  # items between two messages of progress
DUPLICATE = "duplicate"
Say = Callable[[Doing | Said], None]


class NobodyNamed(Exception):
    """The request does not say who the person is; `found` has the names and how often each wrote."""

    def __init__(self, found: list[tuple[str, int]]) -> None:
        super().__init__("nobody is named")
        self.found = found


class Reading:
    """Reads what is new or has changed since the last time, or what the request now wants read in another way."""

    def __init__(
        self, folder: WorkbookDir, request: Request, say: Say, tokens: Callable[[str], int], limit: int
    ) -> None:
        self._folder, self._request, self._say = folder, request, say
        self._tokens, self._limit = tokens, limit
        self.log = SourceLog(folder)
        self.languages: list[str] = list(request.languages)

    def read(self) -> None:
        """Reads the sources. Raises NobodyNamed, InputError, and Broken if something was lost without a reason."""
        waiting = list(self._waiting())
        if not waiting:
            return
        if not self._request.me:
            found = authors(waiting, lambda source: self._progress(source, "looking who wrote"))
            if found:
                raise NobodyNamed(found.most_common())
        who = Who(self._request.me)
        self.languages = self.languages or self._languages(waiting)
        store = DraftStore(self._folder)
        decided = {decision.draft for _, decision in read_lines(self._folder.decisions, Decision)}
        store.forget({self.log.name_for(source.path, source.name) for source in waiting}, decided)
        flags = Flags(self.languages, self._tokens, self._limit)
        for draft in deque((draft for _, draft in read_lines(self._folder.drafts, Draft)), maxlen=COMPARED):
            flags.remember(draft.turns, f"{draft.source}, {draft.place}")
        for source in waiting:
            try:
                self.log.add(_Source(source, self, store, flags, who).read())
            except InputError as error:
                store.flush()
                self.log.add(SourceRecord(source.name, source.kind, str(source.path), "", "", remarks=[str(error)]))
                self._say(Said(f"not read: {error}"))
        self._folder.drafts.touch(mode=0o600)
        require_somebody(self._request.me, who)

    def _waiting(self) -> Iterator[Source]:
        """Yields the sources that have to be read. Raises InputError if there is nothing to read at all."""
        unknown, seen = list[Unknown](), 0
        for named in self._request.sources:
            path = Path(named)
            if not path.exists():
                if not any(Path(record.path).is_relative_to(path) for record in self.log.by_path.values()):
                    raise InputError(f"{path}: no such file or folder")
                self._say(Said(f"{path} is gone; what was read from it stays"))
                continue
            for source in find(path):
                if isinstance(source, Unknown):
                    unknown.append(source)
                    continue
                seen += 1
                record = self.log.by_path.get(str(source.path))
                wanted = (stamp_of(source.path), self._request.reading)
                if record is None or (record.stamp, record.reading) != wanted:
                    yield source
        for one in unknown:
            self._say(Said(f"not read: {one.name}: {one.why}"))
        if not seen and not self.log.by_path:
            raise InputError(f"{', '.join(self._request.sources)}: nothing in it can be read")

    def _languages(self, sources: list[Source]) -> list[str]:
        who, texts = Who(self._request.me), list[str]()
        for source in sources[:SOURCES_SAMPLED]:
            for item in islice(source.items(), SAMPLED):
                if isinstance(item, Passage) or (isinstance(item, Message) and who(item)):
                    texts.append(item.text)
                elif isinstance(item, Exchange):
                    texts.append(item.turns[-1].text)
        return main_languages(texts)

    def _progress(self, source: Source, what: str) -> None:
        tally = source.tally
        self._say(Doing(f"{what}: {source.name}", tally.position, tally.size, "bytes"))


class _Source:
    """The reading of one source."""

    def __init__(self, source: Source, reading: Reading, store: DraftStore, flags: Flags, who: Who) -> None:
        request = reading._request
        self._source, self._reading, self._store, self._flags = source, reading, store, flags
        self._name = reading.log.name_for(source.path, source.name)
        mail = any(word in source.kind.casefold() for word in MAIL)
        silence = MAIL_SILENCE if mail else request.silence * 3600
        window = MAIL_SILENCE if mail else request.window * 60
        self._conversations, self._passages = Conversations(who, window, silence), Passages()
        self._replace = Replacements(request, reading.languages)
        self._items = self._kept = self._drafts = 0
        self._dropped, self._parts = Counter[str](), Counter[str]()

    def read(self) -> SourceRecord:
        """Returns the record of the source, once all of it is on the disk."""
        stamp = stamp_of(self._source.path)
        for number, item in enumerate(self._source.items()):
            if not isinstance(item, Dropped) or not item.part:
                self._items += 1
            for part in self._take(item):
                self._settle(part)
            if number % TELLING == 0:
                self._reading._progress(self._source, "reading")
        for part in (*self._passages.end(), *self._conversations.end()):
            self._settle(part)
        self._store.flush()
        tally = self._source.tally
        message = f"{self._name}: it holds {tally.units} units, and {self._items} items were read"
        require("rows-accounted", tally.adds_up and tally.units == self._items, message)
        return SourceRecord(
            name=self._name,
            kind=self._source.kind,
            path=str(self._source.path),
            stamp=stamp,
            reading=self._reading._request.reading,
            items=self._items,
            kept=self._kept,
            drafts=self._drafts,
            dropped=dict(self._dropped),
            parts=dict(self._parts),
            replaced=dict(self._replace.replaced),
            remarks=tally.remarks,
        )

    def _take(self, item: Item) -> Iterator[Part | Left]:
        if isinstance(item, Dropped):
            counts = self._parts if item.part else self._dropped
            counts[item.reason] += 1
            self._drop(item.place, item.reason, item.text, item.note)
        elif isinstance(item, Message):
            yield from self._conversations.take(item)
        elif isinstance(item, Passage):
            yield from self._passages.take(item)
        else:
            yield Part(item.turns, item.place, 1, item.topic, item.rejected)

    def _drop(self, place: str, reason: str, text: str, note: str = "") -> None:
        self._store.add(DroppedLine(self._name, place, reason, self._replace(text), note))

    def _settle(self, part: Part | Left) -> None:
        """Makes a draft of a part, or notes why there is none."""
        if isinstance(part, Left):
            self._dropped[part.reason] += 1
            self._drop(part.place, part.reason, part.text)
            return
        id, turns = draft_id(part.turns), tuple(Turn(turn.role, self._replace(turn.text)) for turn in part.turns)
        if self._store.is_decided(id, self._name):
            self._kept += part.items
            return
        if (known := self._store.known.get(id)) is not None:
            self._dropped[DUPLICATE] += part.items
            self._drop(part.place, DUPLICATE, part.turns[-1].text, f"the same words are in {known}")
            return
        flags = self._flags.of(turns, f"{self._name}, {part.place}")
        heading, rejected = self._replace(part.heading), part.rejected and self._replace(part.rejected)
        self._store.add(Draft(id, self._name, part.place, turns, heading, flags, rejected))
        self._kept += part.items
        self._drafts += 1
