"""Answers that say nothing of their own: a training row, another answer of the topic, or the question itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.texts import Text, grams, normalized, unspaced, words

GRAM = 8  # words of the n-grams by which copies are found
COPIED = 0.5  # share of an answer's n-grams from one text from which it counts as a copy of it
LONGER_WORD = 5  # letters of a word that counts for an echo
FEWEST_LONGER = 4  # with fewer longer words an answer is too short to be called an echo
ECHO_FLOOR = 0.25
ECHO_QUANTILE, ECHO_MARGIN = 0.99, 1.25


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """Finds the training row that an answer is a copy of, by hashes of its n-grams."""

    by_gram: dict[tuple[str, ...], tuple[int, ...]]
    exact: dict[str, int]
    rows: int

    @classmethod
    def of(cls, rows: Iterable[str]) -> "CopyIndex":
        """Makes an index of training answers."""
        by_gram: dict[tuple[str, ...], list[int]] = {}
        exact: dict[str, int] = {}
        count = 0
        for number, row in enumerate(rows):
            count += 1
            exact.setdefault(_bare(row), number)
            for gram in set(grams(words(row), GRAM)):
                by_gram.setdefault(gram, []).append(number)
        return cls({gram: tuple(found) for gram, found in by_gram.items()}, exact, count)

    def copied(self, answer: str) -> int | None:
        """Returns the number of the row that an answer repeats for the most part, or None."""
        if (found := self.exact.get(_bare(answer))) is not None:
            return found
        own = grams(words(answer), GRAM)
        counts: dict[int, int] = {}
        for gram in own:
            for row in self.by_gram.get(gram, ()):
                counts[row] = counts.get(row, 0) + 1
        best = max(counts, key=lambda row: (counts[row], -row), default=None)
        return best if best is not None and counts[best] >= COPIED * len(own) else None


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
    """Returns the share of the answer's longer words (letter pairs without spaces) that the question has; 0 for few."""
    longer = _longer(answer)
    asked = set(_longer(question))
    return sum(word in asked for word in longer) / len(longer) if len(longer) >= FEWEST_LONGER else 0.0


def fit_echo(own: Iterable[Text]) -> float:
    """Returns the largest echo share that is no fault: beyond nearly all of the person's own answers."""
    shares = [echo_share(text.question, text.text) for text in own]
    return max(ECHO_FLOOR, ECHO_MARGIN * float(np.quantile(shares, ECHO_QUANTILE))) if shares else ECHO_FLOOR


def _longer(text: str) -> list[str]:
    tokens = words(text)
    if unspaced(tokens):
        return [first + second for first, second in zip(tokens, tokens[1:], strict=False)]
    return [word for word in tokens if len(word) >= LONGER_WORD]


def _bare(text: str) -> str:
    return " ".join(words(normalized(text)))
