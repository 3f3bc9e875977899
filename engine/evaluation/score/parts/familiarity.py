"""Detects answers in another language, by the share of letter triples known from the person's texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.evaluation.score.texts import normalized

SIZE = 3
SIGMAS = 3.5
SMALLEST_SIGMA = 0.03  # texts on other subjects in the same language have a share up to 0.1 lower
QUARTILE_IN_SIGMAS = 0.6745  # from the median to a quartile of a normal distribution
FEWEST_TEXTS = 5
MOST_TRIPLES = 200_000
Triple = Annotated[str, Meta(min_length=1, max_length=SIZE)]
Triples = Annotated[frozenset[Triple], Meta(max_length=MOST_TRIPLES)]


@dataclass(frozen=True, slots=True)
class Familiarity:
    """The person's letter triples.

    `median` and `sigma` describe the shares of held-out texts, and `letters` is the median of their numbers of triples.
    """

    triples: Triples = field(repr=False)
    median: float
    sigma: float
    letters: Annotated[int, Meta(ge=0)]

    def share(self, text: str) -> float:
        """Returns the share of a text's letter triples that the person has used; 1 if the text has no triples."""
        found = _triples(text)
        return sum(triple in self.triples for triple in found) / len(found) if found else 1.0

    def unfamiliar(self, text: str) -> str | None:
        """Returns a reason if a text is in another language, or None."""
        share = self.share(text)
        widening = max(1.0, math.sqrt(self.letters / max(1, len(_triples(text)))))  # short answers vary more
        limit = self.median - SIGMAS * self.sigma * widening
        if share >= limit:
            return None
        return f"another language: {share:.0%} of its letter triples occur in this voice; {limit:.0%} is the limit"


def fit_familiarity(own: Sequence[str], references: Sequence[str], rejected: Sequence[str]) -> Familiarity | None:
    """Learns the triples of own texts. The rejected answers set the limit for a text in the same language.

    Rejected answers are in another style, so the limit does not depend on style. If there are too few, the references
    set the limit. If these are too few, too, every fifth own text is held out for it.
    """
    if len(rejected) >= FEWEST_TEXTS:
        references = rejected
    elif len(references) < FEWEST_TEXTS:
        own, references = [text for place, text in enumerate(own) if place % 5], own[::5]
    if len(references) < FEWEST_TEXTS or not own:
        return None
    known = sorted({triple for text in own for triple in _triples(text)})[:MOST_TRIPLES]
    learned = Familiarity(frozenset(known), 1.0, 0.0, 1)
    low, median = np.quantile([learned.share(text) for text in references], [0.25, 0.5])
    letters = int(np.median([len(_triples(text)) for text in references]))
    sigma = max(SMALLEST_SIGMA, float(median - low) / QUARTILE_IN_SIGMAS)
    return Familiarity(learned.triples, float(median), sigma, letters)


def _triples(text: str) -> list[str]:
    text = normalized(text)
    return [text[start : start + SIZE] for start in range(len(text) - SIZE + 1)]
