"""Finds the tokens of a conversation's earlier answers, so that every answer is supervised and nothing else is."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from engine.contract.errors import InputError

WAY_OUT = "sft.answers: last trains the last answer of each conversation alone"

Range = tuple[int, int]  # from the first to after the last


def places(text: str, marked: str, sentinels: Sequence[str], answers: Sequence[str]) -> list[Range]:
    """Returns where the answers stand in a rendered text, in characters.

    `marked` is the same conversation rendered with a sentinel instead of each answer. Raises InputError if the
    template changes an answer, or not at all: it would then not be the answer that is trained.
    """
    found, at, read = list[Range](), 0, 0
    for sentinel, answer in zip(sentinels, answers, strict=True):
        where = marked.find(sentinel, read)
        if where < 0 or marked.count(sentinel) != 1:
            raise InputError(f"the model's chat template leaves out an earlier answer; {WAY_OUT}")
        start = at + where - read
        if text[at:start] != marked[read:where] or text[start : start + len(answer)] != answer:
            raise InputError(f"the model's chat template changes an earlier answer ({answer[:40]!r}); {WAY_OUT}")
        found.append((start, start + len(answer)))
        at, read = start + len(answer), where + len(sentinel)
    if text[at:] != marked[read:]:
        raise InputError(f"the model's chat template changes what follows an earlier answer; {WAY_OUT}")
    return found


def token_ranges(
    answers: Sequence[Range], offsets: Sequence[Range], text: str, ids: Sequence[int], ends: Collection[int]
) -> tuple[Range, ...]:
    """Returns the tokens of answers at these places in the text, each with the end token after it.

    `offsets` are the characters of each token. White space between an answer and its end token is supervised with it.
    """
    found, token = [], 0
    for start, stop in answers:
        while token < len(ids) and offsets[token][1] <= start:
            token += 1
        first = token
        while token < len(ids) and offsets[token][0] < stop:
            token += 1
        after = token
        while after < len(ids) and ids[after] not in ends and not text[slice(*offsets[after])].strip():
            after += 1
        found.append((first, after + 1 if after < len(ids) and ids[after] in ends else token))
    if any(one[1] > other[0] for one, other in pairwise(found)) or any(start >= stop for start, stop in found):
        raise InputError(f"an earlier answer has no tokens of its own; {WAY_OUT}")
    return tuple(found)
