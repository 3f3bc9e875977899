"""Finds held-out questions and pairs that overlap with what is trained on (rule 19): the same text, or nearly."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from engine.curriculum import Topic

NEAR = 0.6  # share of word 3-grams in common (Jaccard) from which two texts count as the same
GRAM = 3


def find_leaks(topics: Sequence[Topic]) -> Iterator[str]:
    """A sentence for each held-out question or answer that is trained on, with both places."""
    trained = _Index()
    for topic in topics:
        for row in topic.sft:
            trained.add(row.where, row.messages[-1].content, row.answer)
        for pair in topic.pairs:
            trained.add(pair.where, pair.messages[-1].content, pair.chosen)
    for topic in topics:
        held = [(item.where, item.question, item.reference) for item in topic.questions]
        held += [(pair.where, pair.messages[-1].content, pair.chosen) for pair in topic.heldout]
        for where, question, answer in held:
            for text in (question, answer):
                if (hit := trained.find(text)) is not None:
                    yield f"{where}: held out, but {text[:60]!r} is trained on at {hit}; change one of the two"


class _Index:
    """Texts by their word 3-grams, so that a look-up touches only texts that share one."""

    def __init__(self) -> None:
        self._where: list[str] = []
        self._size: list[int] = []
        self._by_gram: dict[tuple[str, ...], list[int]] = defaultdict(list)

    def add(self, where: str, *texts: str) -> None:
        for text in texts:
            grams = _grams(text)
            for gram in grams:
                self._by_gram[gram].append(len(self._where))
            self._where.append(where)
            self._size.append(len(grams))

    def find(self, text: str) -> str | None:
        grams = _grams(text)
        shared = Counter(number for gram in grams for number in self._by_gram.get(gram, ()))
        for number, count in shared.most_common():
            if count / (len(grams) + self._size[number] - count) >= NEAR:
                return self._where[number]
        return None


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    if len(words) < GRAM:
        return {tuple(words)}
    return {tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)}
