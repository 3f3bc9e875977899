"""Measures with the base model: relevance, improbable text, and text that is cut off.

Relevance is pointwise mutual information in nats per token: the log-probability of the answer given its question, minus
the log-probability given a neutral prompt. Use it to compare models and runs; for a single answer it means almost
nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
from msgspec import Meta

from engine.evaluation.score.parts.style_features import clause_words

NEUTRAL = "Say something."
SIGMAS = 3.5  # an answer is unlikely or cut if it is this many standard deviations below the references' median
FEWEST_REFERENCES = 5
SMALLEST_SIGMA = 0.1  # nats


@dataclass(frozen=True, slots=True)
class AnswerLogprobs:
    """Log-probabilities of one answer in nats: `total` over its `tokens`, and `end` of the end token after them."""

    total: float
    tokens: int
    end: float


class LogprobSource(Protocol):
    """Returns the base model's log-probabilities of answers, each given a user's prompt."""

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Sequence[AnswerLogprobs]: ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Likelihood of one answer under the base model, in nats.

    `per_word`: log-probability per word, given the question. `relevance`: per token; None if the answer was not read
    after the neutral prompt. `end`: log-probability of the end token.
    """

    per_word: float
    words: int
    relevance: float | None
    end: float


@dataclass(frozen=True, slots=True)
class LikelihoodLimits:
    """Median and standard deviation of the references' `per_word` and `end`; `words` is their median length."""

    per_word: float
    per_word_sigma: float
    words: Annotated[int, Meta(ge=0)]
    end: float
    end_sigma: float

    def unlikely(self, found: Likelihood) -> str | None:
        """Returns the reason if the base model finds an answer too unlikely or cut off, or None.

        There is no upper limit: very likely text is not a fault.
        """
        widening = max(1.0, math.sqrt(self.words / max(1, found.words)))  # short answers vary more
        limit = self.per_word - SIGMAS * self.per_word_sigma * widening
        if found.per_word < limit:
            return f"improbable text: {found.per_word:.1f} nats per word under the base model; {limit:.1f} is the limit"
        limit = self.end - SIGMAS * self.end_sigma
        if found.end < limit:
            return f"cut off: {found.end:.1f} nats for the end under the base model; {limit:.1f} is the limit"
        return None


def measure_likelihood(
    source: LogprobSource, questions: Sequence[str], answers: Sequence[str], relevance: bool = True
) -> list[Likelihood]:
    """Measures answers. With `relevance`, the base model reads each answer again, after a neutral prompt."""
    count = len(answers)
    neutral = [NEUTRAL] * count if relevance else []
    read = source([*questions, *neutral], [*answers, *answers[: len(neutral)]])  # one call: fewer, fuller batches
    found = []
    for place, (answer, own) in enumerate(zip(answers, read, strict=False)):
        size, tokens = clause_words(answer), max(1, own.tokens)
        gain = (own.total - read[count + place].total) / tokens if relevance else None
        found.append(Likelihood(own.total / size, size, gain, own.end))
    return found


def fit_likelihood(references: Sequence[Likelihood]) -> LikelihoodLimits | None:
    """Returns limits from references, or None if there are too few of them."""
    if len(references) < FEWEST_REFERENCES:
        return None
    per_word, word_sigma = _spread([found.per_word for found in references])
    end, end_sigma = _spread([found.end for found in references])
    size = int(np.median([found.words for found in references]))
    return LikelihoodLimits(per_word, word_sigma, size, end, end_sigma)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Returns the median and the standard deviation. Quartiles would be too uncertain with only 16 values."""
    return float(np.median(values)), max(SMALLEST_SIGMA, float(np.std(values, ddof=1)))
