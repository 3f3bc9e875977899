"""What the base model says about an answer: relevance, improbable text, and text that is cut off.

Relevance is pointwise mutual information in nats per token: the log-probability of the answer given its question, less
the one given a neutral prompt. It orders models and runs; for one answer it says next to nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.evaluation.style_features import clause_words

NEUTRAL = "Say something."
SIGMAS = 3.5  # standard deviations from the references' median at which an answer is called unlikely or cut
FEWEST_REFERENCES = 5
SMALLEST_SIGMA = 0.1  # nats
QUARTILE_IN_SIGMAS = 0.6745  # from the median to a quartile of a normal distribution


@dataclass(frozen=True, slots=True)
class AnswerLogprobs:
    """Log-probabilities of one answer in nats: the sum over its `tokens`, and that of the end token behind them."""

    total: float
    tokens: int
    end: float


class LogprobSource(Protocol):
    """Returns the base model's log-probabilities of answers, each given a user's prompt."""

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Sequence[AnswerLogprobs]: ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one answer, in nats: `per_word` given the question, `relevance` per token, and `end` of the end token."""

    per_word: float
    words: int
    relevance: float
    end: float


@dataclass(frozen=True, slots=True)
class LikelihoodLimits:
    """Median and standard deviation of the references' `per_word` and `end`; `words` is their median length."""

    per_word: float
    per_word_sigma: float
    words: int
    end: float
    end_sigma: float

    def unlikely(self, found: Likelihood) -> str | None:
        """Says why the base model takes an answer for no text of this kind, or None. Likely text is no fault."""
        widening = max(1.0, math.sqrt(self.words / max(1, found.words)))  # short answers vary more
        limit = self.per_word - SIGMAS * self.per_word_sigma * widening
        if found.per_word < limit:
            return f"improbable text: {found.per_word:.1f} nats per word under the base model; {limit:.1f} is the limit"
        limit = self.end - SIGMAS * self.end_sigma
        if found.end < limit:
            return f"cut off: {found.end:.1f} nats for the end under the base model; {limit:.1f} is the limit"
        return None


def measure_likelihood(source: LogprobSource, questions: Sequence[str], answers: Sequence[str]) -> list[Likelihood]:
    """Measures answers; each is read twice by the base model, after its question and after a neutral prompt."""
    given = source(questions, answers)
    neutral = source([NEUTRAL] * len(answers), answers)
    found = []
    for answer, own, other in zip(answers, given, neutral, strict=True):
        size, tokens = clause_words(answer), max(1, own.tokens)
        found.append(Likelihood(own.total / size, size, own.total / tokens - other.total / tokens, own.end))
    return found


def fit_likelihood(references: Sequence[Likelihood]) -> LikelihoodLimits | None:
    """Returns limits from references, or None if there are too few of them."""
    if len(references) < FEWEST_REFERENCES:
        return None
    per_word, word_sigma = _robust([found.per_word for found in references])
    end, end_sigma = _robust([found.end for found in references])
    size = int(np.median([found.words for found in references]))
    return LikelihoodLimits(per_word, word_sigma, size, end, end_sigma)


def _robust(values: Sequence[float]) -> tuple[float, float]:
    """Returns the median and a standard deviation from the lower quartile: only low values are judged."""
    low, middle = np.quantile(values, [0.25, 0.5])
    return float(middle), max(SMALLEST_SIGMA, float(middle - low) / QUARTILE_IN_SIGMAS)
