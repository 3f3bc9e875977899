"""Closeness of an answer to its reference in subject, from unit vectors of a sentence embedder.

It says whether the answer is about the same things as the reference. It does not say whether the answer is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

SMALLEST_SPAN = 0.05  # between question and ceiling, so that no difference of the embedder's noise counts as a 1
MISPLACED_SIGMAS = 2.33  # below the mean of the pairs' margins: what one pair of a hundred has by chance
FEWEST_PAIRS = 5  # with fewer, the ceiling and the limit are estimated without pairs


@dataclass(frozen=True, slots=True)
class ClosenessScale:
    """`ceiling`: cosine that counts as a faithful paraphrase. `span`: smallest distance from question to ceiling.

    `misplaced`: an answer belongs to another question of its topic if its cosine with that question's reference exceeds
    the one with its own by more than -misplaced. `from_pairs` says whether pairs were there to measure these.
    """

    ceiling: float
    span: float
    misplaced: float
    from_pairs: bool


def fit_closeness(
    questions: Vectors, references: Vectors, topics: Sequence[str], prompts: Vectors, chosen: Vectors, rejected: Vectors
) -> ClosenessScale:
    """Fits the scale; `topics` belong to pairs, whose `prompts`, `chosen` and `rejected` are (pairs, d).

    The ceiling is the mean cosine of rejected with chosen, which say the same in other words. Without enough pairs it
    is half-way between the mean cosine of question and reference and 1, which is rather strict than kind.
    """
    asked = cosines(questions, references) if len(questions) else cosines(prompts, chosen)
    bare = float(asked.mean()) if len(asked) else 0.5
    if len(chosen) < FEWEST_PAIRS:
        ceiling = (1 + bare) / 2
        return ClosenessScale(ceiling, max(SMALLEST_SPAN, (ceiling - bare) / 2), -(1 - bare) / 2, False)
    ceiling = float(cosines(chosen, rejected).mean())
    margins = [margin for margin in _pair_margins(topics, chosen, rejected) if margin is not None]
    limit = float(np.mean(margins) - MISPLACED_SIGMAS * np.std(margins)) if margins else -(1 - bare) / 2
    return ClosenessScale(ceiling, max(SMALLEST_SPAN, (ceiling - bare) / 2), min(-SMALLEST_SPAN, limit), True)


def closeness(scale: ClosenessScale, question: Vectors, reference: Vectors, answer: Vectors) -> float:
    """Returns 0 for an answer that adds nothing to its question, and 1 for a faithful paraphrase of the reference."""
    asked = float(question @ reference)
    span = max(scale.ceiling - asked, scale.span)
    return min(1.0, max(0.0, (float(answer @ reference) - asked) / span))


def misplaced(scale: ClosenessScale, answer: Vectors, reference: Vectors, others: Vectors) -> int | None:
    """Returns which of the topic's other references (n, d) the answer is decidedly closer to than to its own."""
    if not len(others):
        return None
    found = others @ answer
    best = int(found.argmax())
    return best if float(answer @ reference) - float(found[best]) < scale.misplaced else None


def cosines(a: Vectors, b: Vectors) -> Vectors:
    """Returns the cosine of each row of `a` with the same row of `b`, both of unit length."""
    return np.asarray((a * b).sum(-1))


def _pair_margins(topics: Sequence[str], chosen: Vectors, rejected: Vectors) -> list[float | None]:
    """How much closer each rejected answer is to its own chosen one than to any other of the topic."""
    margins: list[float | None] = []
    for row, topic in enumerate(topics):
        others = [other for other, name in enumerate(topics) if name == topic and other != row]
        own = float(rejected[row] @ chosen[row])
        margins.append(own - float((chosen[others] @ rejected[row]).max()) if others else None)
    return margins
