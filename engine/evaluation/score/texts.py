"""The texts that a scorer is fitted on, and how a text is divided into words, clauses and n-grams."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

UNSPACED = (  # letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{UNSPACED}]|'?[^\W{UNSPACED}](?:'?[^\W{UNSPACED}])*")
LETTER = re.compile(rf"[{UNSPACED}]")
CLAUSE_END = re.compile(r"(?<=[.!?…,;:—–])[\"'”’)\]]*\s+|(?<=[。！？，；：、])|\n+")
CLAUSE_WORDS = 12  # longest clause; a longer one is divided
CHARACTERS_PER_WORD = 2  # of a script without spaces: what counts as much as one word of another script


@dataclass(frozen=True, slots=True)
class Text:
    """An answer with the topic and the question that it belongs to."""

    topic: str
    question: str
    text: str


@dataclass(frozen=True, slots=True)
class TextPair:
    """A preferred answer in the voice and a rejected one that says the same in other words."""

    topic: str
    question: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class ScoringTexts:
    """All texts that a scorer learns from.

    `sft` and `pairs` are training rows. `references` are the quiz's reference answers, never trained on. `base` are the
    answers of the base model, to the quiz's questions or any others of the curriculum.
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
        """Training rows in the voice: SFT answers, then chosen answers."""
        return [*self.sft, *self.chosen]


def normalized(text: str) -> str:
    """Returns the text in lower case with composed letters, straight apostrophes and single spaces."""
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("‘", "'")
    return " ".join(text.lower().split())


def words(text: str) -> list[str]:
    """Returns the words in lower case; in a script without spaces each letter is one."""
    return WORD.findall(normalized(text))


def unspaced(tokens: Sequence[str]) -> bool:
    """Tells whether most words are single letters of a script without spaces."""
    return 2 * sum(bool(LETTER.match(token)) for token in tokens) > len(tokens)


def clauses(text: str) -> list[str]:
    """Divides a text at punctuation into clauses of at most CLAUSE_WORDS words."""
    found: list[str] = []
    for clause in CLAUSE_END.split(text):
        if LETTER.search(clause):
            size = CLAUSE_WORDS * CHARACTERS_PER_WORD
            found += [clause[start : start + size] for start in range(0, len(clause), size)]
        else:
            parts = clause.split()
            found += [" ".join(parts[start : start + CLAUSE_WORDS]) for start in range(0, len(parts), CLAUSE_WORDS)]
    return [clause for clause in found if WORD.search(clause)]


def grams(tokens: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Returns the n-grams of `size` words; in a script without spaces they have twice as many letters."""
    if unspaced(tokens):
        size *= CHARACTERS_PER_WORD
    return [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
