"""Answers that say nothing of their own: a training row, another answer of the topic, or the question itself."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.score.texts import CHARACTERS_PER_WORD, Text, grams, unspaced, words

GRAM = 8  # words of the n-grams by which copies are found
COPIED = 0.5  # share of an answer's n-grams from one text from which it counts as a copy of it
LONGER_WORD = 5  # letters of a word that counts for an echo
FEWEST_LONGER = 4  # with fewer longer words an answer is too short to be called an echo
RUN = 4  # words that follow each other in both question and answer
ECHO_FLOOR = 0.25
ECHO_QUANTILE, ECHO_MARGIN = 0.99, 1.25
WHOLE_SHARE = 0.98  # of the person's answers must end as a sentence does before another ending counts as cut
SENTENCE_END = tuple(".!?…。！？\"'”’)»")


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """Finds the training row that an answer is a copy of.

    `hashes` (n,) are those of the rows' n-grams and of the rows as a whole, ascending; `rows` (n,) the row of each.
    """

    hashes: NDArray[np.uint64]
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, rows: Iterable[str]) -> "CopyIndex":
        """Makes an index of training answers."""
        found = [(key, number) for number, row in enumerate(rows) for key in {_whole_hash(row), *_gram_hashes(row)}]
        found.sort()
        return cls(np.array([key for key, _ in found], np.uint64), np.array([row for _, row in found], np.uint32))

    def copied(self, answer: str) -> int | None:
        """Returns the number of the row that an answer repeats for the most part, or None."""
        if whole := self._rows_of(_whole_hash(answer)):
            return whole[0]
        own = _gram_hashes(answer)
        counts = Counter(row for key in own for row in self._rows_of(key))
        best = min(counts, key=lambda row: (-counts[row], row), default=None)
        return best if best is not None and counts[best] >= COPIED * len(own) else None

    def _rows_of(self, key: int) -> list[int]:
        start, end = np.searchsorted(self.hashes, np.array([key, key], np.uint64) + np.array([0, 1], np.uint64))
        return [int(row) for row in self.rows[start:end]]


def same_answers(answers: Sequence[Text]) -> list[int | None]:
    """For each answer, returns the place of another answer of its topic that is the same, to a different question."""
    keys = [_bare(answer.text) for answer in answers]
    found = [set(grams(words(answer.text), GRAM)) for answer in answers]
    by_topic: dict[str, list[int]] = {}
    for place, answer in enumerate(answers):
        by_topic.setdefault(answer.topic, []).append(place)
    result: list[int | None] = []
    for place, answer in enumerate(answers):
        others = (
            other
            for other in by_topic[answer.topic]
            if answers[other].question != answer.question
            and keys[place]
            and (
                keys[other] == keys[place]
                or len(found[place] & found[other]) > COPIED * max(len(found[place]), len(found[other]), 1)
            )
        )
        result.append(next(others, None))
    return result


def echo_share(question: str, answer: str) -> float:
    """Returns how much of the answer is the question's: the larger of two shares.

    One is the share of its longer words (letter pairs in a script without spaces) that the question has, and 0 if the
    answer has few. The other is the share of its words that stand in a run of RUN words of the question.
    """
    longer, tokens = _longer(answer), words(answer)
    asked, runs = set(_longer(question)), set(grams(words(question), RUN))
    size = RUN * (CHARACTERS_PER_WORD if unspaced(tokens) else 1)
    copied = {place + i for place, gram in enumerate(grams(tokens, RUN)) if gram in runs for i in range(size)}
    shared = sum(word in asked for word in longer) / len(longer) if len(longer) >= FEWEST_LONGER else 0.0
    return max(shared, len(copied) / max(1, len(tokens)))


def fit_echo(own: Iterable[Text]) -> float:
    """Returns the largest echo share that is no fault: beyond nearly all of the person's own answers."""
    shares = [echo_share(text.question, text.text) for text in own]
    return max(ECHO_FLOOR, ECHO_MARGIN * float(np.quantile(shares, ECHO_QUANTILE))) if shares else ECHO_FLOOR


def ends_whole(answer: str) -> bool:
    """Tells whether an answer ends as a sentence does."""
    return answer.rstrip().endswith(SENTENCE_END)


def always_whole(own: Iterable[Text]) -> bool:
    """Tells whether nearly all of the person's answers end as a sentence does, so that one which does not is cut."""
    ends = [ends_whole(text.text) for text in own]
    return bool(ends) and sum(ends) >= WHOLE_SHARE * len(ends)


def _whole_hash(text: str) -> int:
    return _hash(("", *words(text)))


def _gram_hashes(text: str) -> list[int]:
    return [_hash(gram) for gram in dict.fromkeys(grams(words(text), GRAM))]


def _hash(tokens: Sequence[str]) -> int:
    """Returns 63 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(" ".join(tokens).encode(), digest_size=8).digest()) >> 1


def _longer(text: str) -> list[str]:
    tokens = words(text)
    if unspaced(tokens):
        return [first + second for first, second in pairwise(tokens)]
    return [word for word in tokens if len(word) >= LONGER_WORD]


def _bare(text: str) -> str:
    return " ".join(words(text))
