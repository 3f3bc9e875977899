"""Finds held-out questions and pairs that overlap with what is trained on (rule 19): the same text, or nearly."""

from collections.abc import Iterator, Sequence

from engine.curriculum import Topic
from engine.holdout import add_rows
from engine.overlap import Index


def find_leaks(topics: Sequence[Topic]) -> Iterator[str]:
    """A sentence for each held-out question or answer that is trained on, with both places."""
    trained = Index()
    for topic in topics:
        add_rows(trained, topic.sft, topic.pairs)
    for topic in topics:
        held = [(item.where, item.question, item.reference) for item in topic.questions]
        held += [(pair.where, pair.messages[-1].content, pair.chosen) for pair in topic.heldout]
        for where, question, answer in held:
            for text in (question, answer):
                if (hit := trained.find(text)) is not None:
                    yield f"{where}: held out, but {text[:60]!r} is trained on at {hit}; change one of the two"
