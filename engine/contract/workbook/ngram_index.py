"""Finds identical or nearly identical texts by the word 3-grams that they share."""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

NEAR = 0.6  # two texts count as the same if they share at least this fraction of their word 3-grams
WORD = re.compile(r"\w+")


class Index:
    """An index of texts by word 3-gram; a look-up only compares texts that share one of its rarer 3-grams."""

    def __init__(self, asked: Iterable[str] | None = None) -> None:
        """If `asked` has all texts that will be looked up, only their 3-grams are kept, which takes far less memory."""
        self._only = None if asked is None else {gram for text in asked for gram in _grams(text)}
        self._where: list[str] = []
        self._size: list[int] = []
        self._by_gram: dict[int, list[int]] = defaultdict(list)

    def add(self, where: str, *texts: str) -> None:
        """Adds texts; a look-up compares itself with each whole text (Jaccard similarity)."""
        for text in texts:
            self._add(where, grams := _grams(text), len(grams))

    def add_running(self, where: str, text: str) -> None:
        """Adds running text; a look-up matches if the running text contains it."""
        self._add(where, _grams(text), 0)

    def _add(self, where: str, grams: set[int], size: int) -> None:
        for gram in grams if self._only is None else grams & self._only:
            self._by_gram[gram].append(len(self._where))
        self._where.append(where)
        self._size.append(size)

    def find(self, text: str, besides: frozenset[str] = frozenset()) -> str | None:
        """Returns the place of an identical or nearly identical text, or None; ignores the places in `besides`."""
        places = sorted((self._by_gram.get(gram, []) for gram in _grams(text)), key=len)
        few = len(places) - int(NEAR * len(places)) + 1  # any `few` of the 3-grams include one that a match shares
        candidates = {number for found in places[:few] for number in found}
        shared = {number: sum(_holds(found, number) for found in places) for number in candidates}
        for number in sorted(shared, key=lambda number: (-shared[number], number)):
            alone = max(self._size[number] - shared[number], 0)
            if shared[number] / (len(places) + alone) >= NEAR and self._where[number] not in besides:
                return self._where[number]
        return None


def _holds(ascending: Sequence[int], number: int) -> bool:
    place = bisect_left(ascending, number)
    return place < len(ascending) and ascending[place] == number


def _grams(text: str) -> set[int]:
    """Returns hashes of the word 3-grams, since hashes take a tenth of the memory of the words."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if len(words) < 3:
        return {hash(tuple(words))}
    return set(map(hash, zip(words, words[1:], words[2:], strict=False)))
