"""A topic of a curriculum with its rows, and the digest that a resumed run compares."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from engine.contract.journal.events import TopicInfo
from engine.data.forms.row_types import Pair, Question, SftRow


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its rows; training uses `pairs` but not `heldout`.

    `parts` are the topics that the foundation is made of; empty for any other topic.
    """

    id: str
    title: str
    unit_title: str
    chapter_title: str
    sft: tuple[SftRow, ...]
    pairs: tuple[Pair, ...]
    heldout: tuple[Pair, ...]
    questions: tuple[Question, ...]
    parts: tuple["Topic", ...] = ()

    @property
    def owners(self) -> list[str]:
        """The id of the topic that each question belongs to."""
        return [part.id for part in self.parts or (self,) for _ in part.questions]

    @property
    def info(self) -> TopicInfo:
        pairs = len(self.pairs) + len(self.heldout)
        counts = (len(self.sft), pairs, len(self.questions))
        return TopicInfo(self.id, self.title, *counts, self.unit_title, self.chapter_title)

    @property
    def digest(self) -> str:
        """A hash of the rows in their order. It leaves file paths out: files may move while a run is stopped."""
        lists = (self.sft, self.pairs, self.heldout, self.questions)
        rows = ascii([[replace(row, where="") for row in items] for items in lists])
        return hashlib.sha256(rows.encode()).hexdigest()[:16]

    def without(self, places: Collection[str]) -> "Topic":
        """Returns the topic without the rows at these places."""
        return replace(
            self,
            sft=tuple(row for row in self.sft if row.where not in places),
            pairs=tuple(pair for pair in self.pairs if pair.where not in places),
            heldout=tuple(pair for pair in self.heldout if pair.where not in places),
            questions=tuple(item for item in self.questions if item.where not in places),
            parts=tuple(part.without(places) for part in self.parts),
        )

    @property
    def texts(self) -> Iterator[str]:
        """The person's texts: answers of rows, chosen answers and references."""
        yield from (row.answer for row in self.sft)
        yield from (pair.chosen for pair in (*self.pairs, *self.heldout))
        yield from (question.reference for question in self.questions)
