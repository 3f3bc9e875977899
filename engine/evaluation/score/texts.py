"""The texts that fit a scorer, and functions that split text into words, clauses and n-grams."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.text_match import UNSPACED

WORD = re.compile(rf"[{UNSPACED}]|'?[^\W{UNSPACED}](?:'?[^\W{UNSPACED}])*")
LETTER = re.compile(rf"[{UNSPACED}]")
CLAUSE_END = re.compile(r"(?<=[.!?…,;:—–])[\"'”’)\]]*\s+|(?<=[。！？，；：、])|\n+")
CLAUSE_WORDS = 12  # a longer clause is divided
CHARACTERS_PER_WORD = 2  # in a script without spaces, this number of characters counts as one word


@dataclass(frozen=True, slots=True)
class Text:
    """An answer with its topic and question."""

    topic: str
    question: str
    text: str


@dataclass(frozen=True, slots=True)
class TextPair:
    """A chosen answer in the voice, and a rejected answer that says the same in other words."""

    topic: str
    question: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class ScoringTexts:
    """All texts that a scorer learns from.

    `sft` and `pairs` are training rows. `references` are the quiz's reference answers, which are never trained on.
    `base` are the base model's answers to the quiz's questions or to other questions of the curriculum.
    """

    sft: Sequence[Text]
    pairs: Sequence[TextPair]
    references: Sequence[Text]
    base: Sequence[Text]

    @property
    def chosen(self) -> list[Text]:
        """The chosen answer of each pair."""
        return [Text(pair.topic, pair.question, pair.chosen) for pair in self.pairs]

    @property
    def rejected(self) -> list[Text]:
        """The rejected answer of each pair."""
        return [Text(pair.topic, pair.question, pair.rejected) for pair in self.pairs]

    @property
    def own(self) -> list[Text]:
        """All training texts in the voice: SFT answers, then chosen answers."""
        return [*self.sft, *self.chosen]


def normalized(text: str) -> str:
    """Returns the text in lower case, in Unicode NFC, with straight apostrophes and single spaces."""
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("‘", "'")
    return " ".join(text.lower().split())


def words(text: str) -> list[str]:
    """Returns the words in lower case. In a script without spaces, each letter is a word."""
    return WORD.findall(normalized(text))


def unspaced(tokens: Sequence[str]) -> bool:
    """Tells whether most words are single letters of a script without spaces."""
    return 2 * sum(bool(LETTER.match(token)) for token in tokens) > len(tokens)


def clauses(text: str) -> list[str]:
    """Splits a text at punctuation into clauses of at most CLAUSE_WORDS words."""
    found: list[str] = []
    for clause in CLAUSE_END.split(text):
        if LETTER.search(clause):
            size = CLAUSE_WORDS * CHARACTERS_PER_WORD
            found += [clause[start : start + size] for start in range(0, len(clause), size)]
        else:
            parts = clause.split()
            found += [" ".join(parts[start : start + CLAUSE_WORDS]) for start in range(0, len(parts), CLAUSE_WORDS)]
    return [clause for clause in found if WORD.search(clause)]


def gram_size(tokens: Sequence[str], size: int) -> int:
    """Returns the tokens of an n-gram of `size` words. In a script without spaces, they are two letters per word."""
    return size * CHARACTERS_PER_WORD if unspaced(tokens) else size


def grams(tokens: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Returns the n-grams of `size` words, as tuples."""
    size = gram_size(tokens, size)
    return [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
