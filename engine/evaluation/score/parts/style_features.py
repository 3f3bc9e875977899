"""Vectors of clauses for the style classifier: TF-IDF of character 1-4-grams.

Counts are logarithmic, and vectors have unit length.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.score.texts import CHARACTERS_PER_WORD, WORD, normalized, unspaced, words

LONGEST_GRAM = 4
FEWEST_CLAUSES = 2  # an n-gram that occurs in fewer clauses is left out
MOST_KNOWN = 30_000  # clauses whose vectors are kept, 1 kB each: fitting and scoring ask for the same ones again
Vector: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
MOST_GRAMS = 60_000  # if there are more, the n-grams that occur in the most clauses are kept


@dataclass(frozen=True, slots=True)
class Features:
    """The n-grams in order, with the inverse document frequency of each. `columns` maps an n-gram to its index."""

    grams: tuple[str, ...]
    frequencies: NDArray[np.float32]
    columns: dict[str, int] = field(repr=False)
    _known: dict[str, Vector] = field(default_factory=dict, repr=False, compare=False)  # vectors of clauses seen before

    @classmethod
    def of(cls, grams: Sequence[str], frequencies: NDArray[np.float32]) -> "Features":
        """Makes features from n-grams and their inverse document frequencies."""
        return cls(tuple(grams), frequencies, {gram: column for column, gram in enumerate(grams)})

    @classmethod
    def fit(cls, clauses: Sequence[str]) -> "Features":
        """Finds the n-grams of clauses. The inverse document frequency is ln((1 + n) / (1 + df)) + 1."""
        counts = Counter(gram for clause in clauses for gram in _counts(clause))
        fewest = FEWEST_CLAUSES if len(clauses) > 20 else 1
        kept = [gram for gram, count in counts.items() if count >= fewest]
        kept = sorted(sorted(kept, key=lambda gram: (-counts[gram], gram))[:MOST_GRAMS])
        inverse = [math.log((1 + len(clauses)) / (1 + counts[gram])) + 1 for gram in kept]
        return cls.of(kept, np.array(inverse, np.float32))

    def vector(self, clause: str) -> Vector:
        """Returns the columns of a clause's known n-grams in ascending order, and the values in these columns."""
        if (found := self._known.get(clause)) is None:
            found = self._vector(clause)
            if len(self._known) < MOST_KNOWN:
                self._known[clause] = found
        return found

    def _vector(self, clause: str) -> Vector:
        counts = sorted((self.columns[gram], count) for gram, count in _counts(clause).items() if gram in self.columns)
        columns = np.array([column for column, _ in counts], np.int64)
        values = 1 + np.log(np.array([count for _, count in counts], np.float64))
        values = values * self.frequencies[columns]
        length = float(np.sqrt(values @ values))
        return columns, values / length if length else values

    def matrix(self, clauses: Sequence[str], above: Any = None) -> Any:
        """Returns the vectors of clauses as a sparse matrix (clauses, n-grams), after the rows of `above` if given."""
        from scipy.sparse import csr_matrix, vstack  # type: ignore[import-untyped]

        vectors = [self.vector(clause) for clause in clauses]
        starts = np.cumsum([0, *(len(columns) for columns, _ in vectors)])
        columns = np.concatenate([columns for columns, _ in vectors])
        values = np.concatenate([values for _, values in vectors])
        rows = csr_matrix((values, columns, starts), shape=(len(clauses), len(self.grams)))
        return rows if above is None else vstack([above, rows], format="csr")

    def word_places(self, text: str) -> Iterator[tuple[int, int]]:
        """Yields the start and end of each word in a text."""
        for found in WORD.finditer(text.replace("’", "'")):
            yield found.span()


def clause_words(clause: str) -> int:
    """Returns the number of words in a clause, at least 1. In a script without spaces, two letters are one word."""
    tokens = words(clause)
    return max(1, len(tokens) // CHARACTERS_PER_WORD if unspaced(tokens) else len(tokens))


def _counts(clause: str) -> Counter[str]:
    text = normalized(unicodedata.normalize("NFKC", clause))
    return Counter(
        text[start : start + size] for size in range(1, LONGEST_GRAM + 1) for start in range(len(text) - size + 1)
    )
