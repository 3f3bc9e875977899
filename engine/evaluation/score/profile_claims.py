"""Finds violations of voice.yaml in an answer: avoided phrases and distinctions that it does not deny."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from engine.evaluation.score.pattern_search import matches

NEGATION = re.compile(r"\b(?:no|not|never|nor|neither|without|cannot|canna|dinna|hardly|\w+n't)$")
INSIDE = re.compile(r"\b(?:not|never|no|nor|neither|hardly)\b|n't\b")
CLAUSE_END = re.compile(r"[,.;:!?…()\n—–]|\b(?:and|but|because|so|that)\b")
PHRASES = re.compile(r"\b(?:never mind|no doubt|no matter|not only|no wonder|not to mention|never fear|no,|nay,)")
FILLERS = frozenset(
    "a an the i i'm am is are be been being was were any some such mere just really ever your you".split()
)
REACH = 3  # maximum of words between a negation and the claim that it denies


@dataclass(frozen=True, slots=True)
class Claims:
    """Patterns of voice.yaml.

    Each pattern of `avoid` that matches costs `penalty`. A distinction (name, patterns) that matches sets the voice
    to 0.
    """

    avoid: Sequence[re.Pattern[str]] = ()
    penalty: float = 0.15
    distinctions: Sequence[tuple[str, Sequence[re.Pattern[str]]]] = ()


@dataclass(frozen=True, slots=True)
class Violations:
    """Violations in one answer: quotes of avoided phrases, and (distinction, quote)."""

    avoided: tuple[str, ...] = ()
    confused: tuple[tuple[str, str], ...] = ()

    def factor(self, penalty: float) -> float:
        """Returns the factor by which the voice is multiplied."""
        return 0.0 if self.confused else max(0.0, 1 - penalty * len(self.avoided))


def find_violations(claims: Claims, answer: str) -> Violations:
    """Finds the answer's violations of the profile."""
    text = " ".join(unicodedata.normalize("NFC", answer).replace("’", "'").replace("‘", "'").split())
    avoided = tuple(hit for pattern in claims.avoid if (hit := _asserted(pattern, text)))
    confused = []
    for name, patterns in claims.distinctions:
        quotes = [hit for pattern in patterns if (hit := _asserted(pattern, text))]
        confused += [(name, quotes[0])] if quotes else []
    return Violations(avoided, tuple(confused))


def _asserted(pattern: re.Pattern[str], text: str) -> str | None:
    """Returns the text of the first match that is not denied, or None."""
    hits = matches(pattern, text)
    return next((hit.group(0) for hit in hits if not denied(text[: hit.start()].lower(), hit.group(0).lower())), None)


def denied(before: str, claim: str) -> bool:
    """Tells whether a claim is denied, by a negation inside it or by one before it that applies to it.

    A negation applies if it is in the same clause, with only function words and at most one other word between the two.
    "I am not an AI" is denied, but "never say that I am an AI" is not. Set phrases such as "never mind" deny nothing.
    """
    if INSIDE.search(claim):
        return True
    before = PHRASES.sub(lambda phrase: "," * len(phrase.group(0)), before)
    clause = CLAUSE_END.split(before)[-1].split()
    for distance, word in enumerate(reversed(clause[-REACH - 1 :])):
        if NEGATION.search(word):
            between = clause[len(clause) - distance :]
            return sum(word not in FILLERS for word in between) <= 1
    return False
