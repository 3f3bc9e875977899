"""Controls of a judge: pairs of texts that it must tell apart, made of a curriculum, before its marks are believed."""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from engine.contract.journal.judge_file import Control
from engine.contract.wording import several
from engine.data.curriculum import Curriculum
from engine.data.topic import Topic
from engine.judging.auc import auc, auc_interval
from engine.judging.rubric import Item

MOST = 40  # texts of each side
LEAST = 5  # marks of each side, without which nothing is known
NEEDED = 0.8  # AUC
EXAMPLES = 2  # texts of the person beside an answer
SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Sides:
    """A control before it is rated: texts that deserve high marks, and texts that do not.

    An `optional` control is left out if the curriculum has no texts for it.
    """

    name: str
    good: tuple[Item, ...]
    bad: tuple[Item, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class _Reference:
    topic: str
    question: str
    text: str


def make_controls(curriculum: Curriculum) -> list[Sides]:
    """Returns the controls. The same rows give the same texts."""
    topics = (*curriculum.topics, *curriculum.further)
    references = _some(
        [_Reference(t.id, q.question, q.reference) for t in topics for q in t.questions if q.reference.strip()]
    )
    shuffled = [(one, _shuffled(one.text)) for one in references]
    changed = [(one, text) for one, text in shuffled if text.split() != one.text.split()]
    return [
        Sides(
            "content: references against those of other questions",
            tuple(Item("content", one.question, one.text) for one in references),
            tuple(Item("content", one.question, other.text) for one, other in _others(references)),
        ),
        Sides(
            "sense: references against the same, shuffled",
            tuple(Item("sense", one.question, one.text) for one, _ in changed),
            tuple(Item("sense", one.question, text) for one, text in changed),
        ),
        _likeness(topics),
    ]


def measured(sides: Sides, mark: Callable[[Item], int | None]) -> Control:
    """Returns the result of a control; `mark` gives the mark of a text, None if it has none."""
    good, bad = ([mark(item) for item in side] for side in (sides.good, sides.bad))
    high, low = ([value for value in side if value is not None] for side in (good, bad))
    unmarked, ratings = len(good) + len(bad) - len(high) - len(low), len(good) + len(bad)
    share = auc(high, low)
    first, last = (None, None) if share is None else auc_interval(share, len(high), len(low))
    if not ratings and sides.optional:
        fault = ""
    elif 2 * unmarked > ratings:
        fault = f"no mark in {unmarked} of {several(ratings, 'rating')}"
    elif min(len(high), len(low)) < LEAST or share is None:
        fault = f"{len(high)} against {len(low)} marks are too few, at least {LEAST} a side are needed"
    else:
        fault = f"AUC {share:.2f}, at least {NEEDED:.2f} is needed" if share < NEEDED else ""
    return Control(sides.name, share, first, last, len(high), len(low), unmarked, fault)


def _likeness(topics: Sequence[Topic]) -> Sides:
    pairs = [(t.id, p.messages[-1].content, p) for t in topics for p in (*t.pairs, *t.heldout) if p.messages]
    pairs.sort(key=lambda found: _order(found[0], found[1], found[2].chosen))
    rows = [(topic.id, row.answer) for topic in topics for row in topic.sft]
    rows.sort(key=lambda found: _order(*found))
    good, bad = [], []
    for topic, question, pair in pairs[:MOST]:
        examples = tuple(text for owner, text in rows if owner != topic or len(topics) == 1)[:EXAMPLES]
        good.append(Item("likeness", question, pair.chosen, examples))
        bad.append(Item("likeness", question, pair.rejected, examples))
    if len(good) < LEAST:
        good, bad = [], []
    return Sides("likeness: chosen answers against rejected ones", tuple(good), tuple(bad), optional=True)


def _some(references: Sequence[_Reference]) -> list[_Reference]:
    return sorted(references, key=lambda one: _order(one.topic, one.question, one.text))[:MOST]


def _order(*texts: str) -> bytes:
    return hashlib.sha256(repr(texts).encode()).digest()


def _others(references: Sequence[_Reference]) -> list[tuple[_Reference, _Reference]]:
    """Pairs each reference with the next one of another question, of another topic if there is one."""
    found = []
    for place, one in enumerate(references):
        later = chain(references[place + 1 :], references[:place])
        others = [other for other in later if other.question != one.question and other.text != one.text]
        if others:
            found.append((one, next((other for other in others if other.topic != one.topic), others[0])))
    return found


def _shuffled(text: str) -> str:
    """Returns a text with its sentences in another order, and with half of its words in each other's places."""
    chance = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    sentences = SENTENCE.split(text.strip())
    chance.shuffle(sentences)
    words = " ".join(sentences).split()
    places = chance.sample(range(len(words)), k=(len(words) + 1) // 2)
    for place, word in zip(places, [words[place] for place in (*places[1:], *places[:1])], strict=True):
        words[place] = word
    return " ".join(words)
