"""Whether an answer is text at all: empty, special tokens, repetition."""

import re
from collections.abc import Iterable

REPEATED_SHARE = 0.3  # share of repeated 4-grams from which an answer counts as stuck

REPEATED_WORD_SHARE = 0.4  # share of one word from which a short answer counts as stuck

STUTTER = re.compile(r"(?=.{0,7}\w)(.{1,8}?)\1{9,}", re.DOTALL)  # ten times the same letters: a word without an end


def health(answer: str, special_tokens: Iterable[str] = ()) -> str:
    """Says whether an answer is text at all: "ok", "empty", "special_tokens" or "repeating"."""
    words = re.findall(r"\w[\w']*", answer.lower())
    if not words:
        return "empty"
    if any(token and token in answer for token in special_tokens):
        return "special_tokens"
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
    commonest = max(words.count(word) for word in set(words))
    stuck = len(words) >= 4 and commonest / len(words) > REPEATED_WORD_SHARE
    return "repeating" if repeated > REPEATED_SHARE or stuck or STUTTER.search(answer) else "ok"
