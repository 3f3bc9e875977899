"""Detects void answers: copies of training rows, repeated answers, echoes of the question, cut texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from engine.evaluation.score.texts import CHARACTERS_PER_WORD, Text, gram_size, grams, unspaced, words

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word of an n-gram is lost
GRAM = 8  # words per n-gram when searching for copies
COPIED = 0.5  # an answer is a copy if at least this share of its n-grams comes from one text
LONGER_WORD = 5  # a word needs this number of letters to count for an echo
FEWEST_LONGER = 4  # an answer with fewer longer words is too short to count as an echo
RUN = 4  # number of consecutive words that question and answer must share
ECHO_FLOOR = 0.25
ECHO_QUANTILE, ECHO_MARGIN = 0.99, 1.25
WHOLE_SHARE = 0.98  # another ending counts as cut only if this share of the person's answers ends like a sentence
SENTENCE_END = tuple(".!?…。！？\"'”’)»")


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """Finds the training row that an answer copies.

    `hashes` (n,) has the hashes of the rows' n-grams and of whole rows, ascending. `rows` (n,) has each hash's row.
    """

    hashes: NDArray[np.uint64]
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, rows: Iterable[str]) -> "CopyIndex":
        """Builds an index of training answers."""
        found = [np.append(_gram_hashes(row), np.uint64(_whole_hash(row))) for row in rows]
        if not found:
            return cls(np.zeros(0, np.uint64), np.zeros(0, np.uint32))
        hashes = np.concatenate(found)
        order = hashes.argsort(kind="stable")
        numbers = np.repeat(np.arange(len(found), dtype=np.uint32), [len(keys) for keys in found])
        return cls(hashes[order], numbers[order])

    def copied(self, answer: str) -> int | None:
        """Returns the index of the row that makes up at least COPIED of the answer, or None."""
        if whole := self._rows_of(_whole_hash(answer)):
            return whole[0]
        own = _gram_hashes(answer)
        counts = Counter(row for key in own for row in self._rows_of(int(key)))
        best = min(counts, key=lambda row: (-counts[row], row), default=None)
        return best if best is not None and counts[best] >= COPIED * len(own) else None

    def _rows_of(self, key: int) -> list[int]:
        start, end = np.searchsorted(self.hashes, np.array([key, key], np.uint64) + np.array([0, 1], np.uint64))
        return [int(row) for row in self.rows[start:end]]


def same_answers(answers: Sequence[Text]) -> list[int | None]:
    """Returns for each answer the index of the same answer to a different question of its topic, or None."""
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
    """Returns the share of the answer that comes from the question: the larger of two shares.

    The first is the share of the answer's longer words (letter pairs in a script without spaces) that the question
    has; it is 0 if the answer has few longer words. The second is the share of the answer's words that are part of RUN
    consecutive words of the question.
    """
    longer, tokens = _longer(answer), words(answer)
    asked, runs = set(_longer(question)), set(grams(words(question), RUN))
    size = RUN * (CHARACTERS_PER_WORD if unspaced(tokens) else 1)
    copied = {place + i for place, gram in enumerate(grams(tokens, RUN)) if gram in runs for i in range(size)}
    shared = sum(word in asked for word in longer) / len(longer) if len(longer) >= FEWEST_LONGER else 0.0
    return max(shared, len(copied) / max(1, len(tokens)))


def fit_echo(own: Iterable[Text]) -> float:
    """Returns the largest acceptable echo share, higher than in nearly all of the person's own answers."""
    shares = [echo_share(text.question, text.text) for text in own]
    return max(ECHO_FLOOR, ECHO_MARGIN * float(np.quantile(shares, ECHO_QUANTILE))) if shares else ECHO_FLOOR


def ends_whole(answer: str) -> bool:
    """Tells whether an answer ends like a sentence."""
    return answer.rstrip().endswith(SENTENCE_END)


def always_whole(own: Iterable[Text]) -> bool:
    """Tells whether nearly all of the person's answers end like a sentence. If so, another ending means a cut text."""
    ends = [ends_whole(text.text) for text in own]
    return bool(ends) and sum(ends) >= WHOLE_SHARE * len(ends)


def _whole_hash(text: str) -> int:
    return int(xxh3_64_intdigest(" ".join(words(text)).encode("utf-8", "surrogatepass")) >> 1)


def _gram_hashes(text: str) -> NDArray[np.uint64]:
    """Returns the distinct hashes of a text's n-grams, 63 bits each, ascending: polynomials of the hashes of words."""
    tokens = words(text)
    size = gram_size(tokens, GRAM)
    count = len(tokens) - size + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    numbers = [xxh3_64_intdigest(token.encode("utf-8", "surrogatepass")) for token in tokens]
    found, total = np.array(numbers, np.uint64), np.zeros(count, np.uint64)
    for place in range(size):
        total = total * FACTOR + found[place : place + count]  # modulo 2^64
    return np.unique(total >> np.uint64(1))


def _longer(text: str) -> list[str]:
    tokens = words(text)
    if unspaced(tokens):
        return [first + second for first, second in pairwise(tokens)]
    return [word for word in tokens if len(word) >= LONGER_WORD]


def _bare(text: str) -> str:
    return " ".join(words(text))
