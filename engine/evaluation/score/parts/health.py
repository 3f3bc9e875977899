"""Measures the health of an answer: whether it is text, and whether it repeats itself."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.score.texts import grams, unspaced, words

PAIRS_FLOOR = 0.25  # share of repeated word pairs; catches 13 of 13 senseless answers of ten models, 5 % of good ones
WORD_FLOOR = 0.4  # share of the most frequent word
DISTINCT_FLOOR = 0.3  # share of different words, within WINDOW words
WINDOW = 50  # window in words for counting different words, so that long answers are not punished
FEWEST_WORDS = 8  # shares of shorter answers mean little; these repeat only if they are one word, four times or more
QUANTILE = 0.99
MARGIN = 1.5  # a threshold is beyond the references' quantile by at least this factor
STUTTER = re.compile(r"(?=.{0,7}\w)(.{1,8}?)\1{9,}", re.DOTALL)  # the same 1 to 8 characters, ten times


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """Limits for repetition: an answer repeats itself above `pairs` or `word`, or below `distinct`."""

    pairs: float
    word: float
    distinct: float


FLOORS = HealthLimits(PAIRS_FLOOR, WORD_FLOOR, DISTINCT_FLOOR)


@dataclass(frozen=True, slots=True)
class Health:
    """Health of one answer.

    `state` is ok, empty, special_tokens or repeating. `repeated_pairs` is the share of repeated word pairs.
    """

    state: str
    repeated_pairs: float
    reason: str | None = None

    @property
    def healthy(self) -> bool:
        """Tells whether the answer is text that does not repeat itself."""
        return self.state == "ok"


def fit_limits(references: Iterable[str]) -> HealthLimits:
    """Returns limits beyond the references' quantiles, never stricter than the floors."""
    measured = [
        (_repeated(tokens), _commonest(tokens), _distinct(tokens)) for tokens in map(words, references) if tokens
    ]
    if not measured:
        return FLOORS
    pairs, word, distinct = zip(*measured, strict=True)
    return HealthLimits(
        max(PAIRS_FLOOR, MARGIN * float(np.quantile(pairs, QUANTILE))),
        min(0.9, max(WORD_FLOOR, MARGIN * float(np.quantile(word, QUANTILE)))),
        min(DISTINCT_FLOOR, float(np.quantile(distinct, 1 - QUANTILE)) / MARGIN),
    )


def measure_health(answer: str, limits: HealthLimits | None = None, special_tokens: Iterable[str] = ()) -> Health:
    """Measures one answer against limits."""
    limits = limits or FLOORS
    tokens = words(answer)
    if not tokens:
        return Health("empty", 0.0, "the answer has no words")
    if any(token and token in answer for token in special_tokens):
        return Health("special_tokens", 0.0, "the answer contains a special token of the model")
    pairs, word, distinct = _repeated(tokens), _commonest(tokens), _distinct(tokens)
    reason = None
    if STUTTER.search(answer):
        reason = "the same letters are repeated ten times or more"
    elif len(tokens) < FEWEST_WORDS:
        reason = "the answer is one word, repeated" if len(tokens) >= 4 and len(set(tokens)) == 1 else None
    elif pairs > limits.pairs:
        reason = f"{pairs:.0%} of the word pairs are repeated; {limits.pairs:.0%} is the limit"
    elif word > limits.word:
        reason = f"one word makes up {word:.0%} of the answer; {limits.word:.0%} is the limit"
    elif distinct < limits.distinct:
        reason = f"only {distinct:.0%} of the words are different; {limits.distinct:.0%} is the limit"
    return Health("repeating" if reason else "ok", pairs, reason)


def health(answer: str, special_tokens: Iterable[str] = ()) -> str:
    """Returns only the state, measured with the floors as limits: ok, empty, special_tokens or repeating."""
    return measure_health(answer, None, special_tokens).state


def _repeated(tokens: Sequence[str]) -> float:
    found = grams(tokens, 2)
    return 1 - len(set(found)) / len(found) if found else 0.0


def _commonest(tokens: Sequence[str]) -> float:
    return max(Counter(tokens).values()) / len(tokens)


def _distinct(tokens: Sequence[str]) -> float:
    """Returns the smallest share of different words in any window; 1 in a script without spaces between words.

    In such a script each letter counts as a word, and letters repeat in every text.
    """
    if unspaced(tokens):
        return 1.0
    starts = range(max(1, len(tokens) - WINDOW + 1))
    return min(len(set(tokens[start : start + WINDOW])) / min(WINDOW, len(tokens)) for start in starts)
