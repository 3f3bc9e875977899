"""Makes passages of a sensible length: joins short paragraphs, and splits long ones where a sentence ends."""

import re
from collections.abc import Iterator
from dataclasses import replace

from engine.contract.workbook.drafts import Turn
from engine.intake.rows.parts import Part
from engine.intake.sources.items import Passage

FEW = 12  # words: a shorter paragraph under a heading is joined with the next one there
MOST = 180  # words of a passage; a longer one is split
SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’»)\]]*\s+")


class Passages:
    """Takes the passages of a source in their order, and returns parts."""

    def __init__(self) -> None:
        self._short: Part | None = None  # it waits for the next passage

    def take(self, passage: Passage) -> Iterator[Part]:
        """Adds a passage; yields the parts that are whole."""
        part = Part((Turn("assistant", passage.text),), passage.place, 1, passage.heading)
        if self._short is not None:
            if self._short.heading == part.heading:
                text = f"{self._short.turns[0].text}\n{passage.text}"
                part = Part((Turn("assistant", text),), self._short.place, self._short.items + 1, part.heading)
            else:
                yield self._short
            self._short = None
        if part.heading and len(part.turns[0].text.split()) < FEW:
            self._short = part
        else:
            yield from _split(part)

    def end(self) -> Iterator[Part]:
        """Yields a last short passage, if there is one."""
        if self._short is not None:
            yield self._short
        self._short = None


def _split(part: Part) -> Iterator[Part]:
    """Yields pieces of at most MOST words, of nearly the same length; a single sentence may be longer."""
    text = part.turns[0].text
    words = len(text.split())
    aimed = words / -(-words // MOST)
    pieces: list[list[str]] = [[]]
    count = 0
    for sentence in SENTENCE_END.split(text) if words > MOST else [text]:
        if pieces[-1] and count + len(sentence.split()) / 2 > aimed * len(pieces):
            pieces.append([])
        pieces[-1].append(sentence)
        count += len(sentence.split())
    for number, piece in enumerate(pieces):
        place = part.place if len(pieces) == 1 else f"{part.place}, piece {number + 1}"
        turns = (Turn("assistant", " ".join(piece)),)
        yield replace(part, turns=turns, place=place, items=part.items if number == 0 else 0)
