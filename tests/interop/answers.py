"""Whether a tool gave the engine's greedy answer; for both sides of the comparison."""

from collections.abc import Sequence
from itertools import takewhile

TIE = 1e-3  # two logits so near to each other may change places by rounding


def agrees(said: Sequence[int], wanted: Sequence[int], gaps: Sequence[float]) -> bool:
    """Token ids of two answers, equal or parting where the engine's two best logits lie within TIE.

    `gaps` are the distances between these two, one for each token of `wanted` and one for what comes after it.
    """
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(said, wanted, strict=False))))
    return list(said) == list(wanted) or gaps[same] <= TIE
