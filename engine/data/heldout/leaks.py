"""Finds held-out questions and pairs whose text is also, or almost, in the training rows (rule 19)."""

from collections.abc import Iterator, Sequence

from engine.contract.workbook.ngram_index import Index
from engine.data.forms.row_types import Pair, SftRow
from engine.data.heldout.holdout import add_rows
from engine.data.topic import Topic


def find_leaks(topics: Sequence[Topic]) -> Iterator[str]:
    """Yields an error sentence, with both places, for each held-out question or answer that is in the training rows."""
    trained: list[SftRow | Pair] = []
    for topic in topics:
        trained += [*topic.sft, *topic.pairs]
    return leaks_of(trained, topics)


def leaks_of(trained: Sequence[SftRow | Pair], topics: Sequence[Topic]) -> Iterator[str]:
    """Does the same as find_leaks, but compares the held-out texts of the topics with the rows in `trained`."""
    held = [
        *((item.where, item.question, item.reference) for topic in topics for item in topic.questions),
        *((pair.where, pair.messages[-1].content, pair.chosen) for topic in topics for pair in topic.heldout),
    ]
    index = Index(text for _, *texts in held for text in texts)
    add_rows(
        index, [row for row in trained if isinstance(row, SftRow)], [row for row in trained if isinstance(row, Pair)]
    )
    for where, *texts in held:
        for text in texts:
            if (hit := index.find(text)) is not None:
                yield f"{where}: held out, but {text[:60]!r} is trained on at {hit}; change one of the two"
