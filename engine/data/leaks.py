"""Finds held-out questions and pairs that overlap with what is trained on (rule 19): the same text, or nearly."""

from collections.abc import Iterator, Sequence

from engine.data.curriculum import Topic
from engine.data.holdout import add_rows
from engine.data.ngram_index import Index
from engine.data.rows import Pair, SftRow


def find_leaks(topics: Sequence[Topic]) -> Iterator[str]:
    """A sentence for each held-out question or answer that is trained on, with both places."""
    trained: list[SftRow | Pair] = []
    for topic in topics:
        trained += [*topic.sft, *topic.pairs]
    return leaks_of(trained, topics)


def leaks_of(trained: Sequence[SftRow | Pair], topics: Sequence[Topic]) -> Iterator[str]:
    """As find_leaks, of these rows against everything that the topics hold out."""
    index = Index()
    add_rows(
        index, [row for row in trained if isinstance(row, SftRow)], [row for row in trained if isinstance(row, Pair)]
    )
    for topic in topics:
        held = [(item.where, item.question, item.reference) for item in topic.questions]
        held += [(pair.where, pair.messages[-1].content, pair.chosen) for pair in topic.heldout]
        for where, question, answer in held:
            for text in (question, answer):
                if (hit := index.find(text)) is not None:
                    yield f"{where}: held out, but {text[:60]!r} is trained on at {hit}; change one of the two"
