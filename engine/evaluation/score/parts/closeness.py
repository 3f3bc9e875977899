"""Closeness: similarity of subject between an answer and its reference, from sentence embeddings.

It measures whether the answer is about the same things as the reference. It does not measure whether the answer is
right. All vectors have unit length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

SMALLEST_SPAN = 0.05  # smallest distance from question to ceiling, so that embedder noise cannot give a closeness of 1
MISPLACED_SIGMAS = 2.33  # distance of the limit from the mean margin; one pair in a hundred is below it by chance
ROUNDING = 1e-6  # of a cosine of float32 vectors
FEWEST_PAIRS = 5  # with fewer, the ceiling and the limit are estimated without pairs


@dataclass(frozen=True, slots=True)
class ClosenessScale:
    """The fitted scale of closeness.

    `ceiling`: cosine of a faithful paraphrase. `span`: smallest distance from question to ceiling. `misplaced`: an
    answer belongs to another question of its topic if its cosine with that question's reference exceeds the cosine with
    its own reference by more than -misplaced, and is that of a paraphrase at least. `from_pairs` tells whether these
    values were measured on pairs.
    """

    ceiling: float
    span: float
    misplaced: float
    from_pairs: bool


def fit_closeness(
    questions: Vectors, references: Vectors, topics: Sequence[str], prompts: Vectors, chosen: Vectors, rejected: Vectors
) -> ClosenessScale:
    """Fits the scale. `prompts`, `chosen` and `rejected` are (pairs, d); `topics` has the topic of each pair.

    The ceiling is the mean cosine between rejected and chosen answers, because a pair says the same in other words.
    Without enough pairs, it is half-way between 1 and the mean cosine of question and reference. That is a strict
    estimate.
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
    """Returns the index of another reference (n, d) that the answer says, and clearly more so than its own, or None.

    An answer that is only vague may be a little nearer to another reference by chance. So the other one counts only if
    the answer is as near to it as a paraphrase is.
    """
    if not len(others):
        return None
    found = others @ answer
    best = int(found.argmax())
    clearly = float(answer @ reference) - float(found[best]) < scale.misplaced
    return best if clearly and found[best] > scale.ceiling - ROUNDING else None


def cosines(a: Vectors, b: Vectors) -> Vectors:
    """Returns the cosine of each row of `a` with the same row of `b`, both of unit length."""
    return np.asarray((a * b).sum(-1))


def _pair_margins(topics: Sequence[str], chosen: Vectors, rejected: Vectors) -> list[float | None]:
    """Returns how much closer each rejected answer is to its own chosen answer than to any other of its topic.

    The margin is a difference of cosines, or None if the topic has no other pair.
    """
    margins: list[float | None] = []
    for row, topic in enumerate(topics):
        others = [other for other, name in enumerate(topics) if name == topic and other != row]
        own = float(rejected[row] @ chosen[row])
        margins.append(own - float((chosen[others] @ rejected[row]).max()) if others else None)
    return margins
