"""Finds nearly identical texts among the last ones, in bounded time and memory."""

import unicodedata
from collections import deque

from xxhash import xxh3_64_intdigest

from engine.contract.workbook.ngram_index import NEAR, WORD

COMPARED = 20_000  # texts before this one that it is compared with
SKETCH = 12  # of a text's word 3-grams, those with the smallest hashes: texts that are near share most of them
LISTED = 16  # newest texts that are kept for each of these 3-grams


class NearDuplicates:
    """The last COMPARED texts. Two texts are near if they share NEAR of their word 3-grams."""

    def __init__(self) -> None:
        self._texts: deque[tuple[str, frozenset[int]]] = deque()
        self._first = 0  # number of the oldest text
        self._by_gram: dict[int, deque[int]] = {}

    def find(self, text: str) -> str | None:
        """Returns the place of the newest text that is near to this one, or None."""
        grams = _grams(text)
        numbers = {number for gram in sorted(grams)[:SKETCH] for number in self._by_gram.get(gram, ())}
        for number in sorted(numbers, reverse=True):
            place, other = self._texts[number - self._first]
            if len(grams & other) >= NEAR * len(grams | other):
                return place
        return None

    def add(self, place: str, text: str) -> None:
        """Adds a text; the oldest one is forgotten if there are too many."""
        grams = _grams(text)
        number = self._first + len(self._texts)
        self._texts.append((place, grams))
        for gram in sorted(grams)[:SKETCH]:
            self._by_gram.setdefault(gram, deque(maxlen=LISTED)).append(number)
        if len(self._texts) > COMPARED:
            self._forget()

    def _forget(self) -> None:
        _, grams = self._texts.popleft()
        for gram in sorted(grams)[:SKETCH]:
            listed = self._by_gram.get(gram)
            if listed and listed[0] == self._first:
                listed.popleft()
                if not listed:
                    del self._by_gram[gram]
        self._first += 1


def _grams(text: str) -> frozenset[int]:
    """Returns hashes of the word 3-grams that are the same in every process."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    starts = range(max(1, len(words) - 2))
    return frozenset(xxh3_64_intdigest(" ".join(words[i : i + 3]).encode("utf-8", "surrogatepass")) for i in starts)
