"""Chooses the rows of earlier topics that a topic's SFT phase trains on again, so that they are not forgotten."""

import random
from collections.abc import Collection, Sequence

from engine.contract.vocabulary import FOUNDATION
from engine.data.forms.row_types import SftRow
from engine.data.topic import Topic
from engine.training.session import Session


def replayed_count(own: int, share: float, available: int) -> int:
    """Returns the number of rows to replay with `own` rows: the share, rounded, or all rows if there are fewer."""
    return min(available, int(share * own + 0.5))


def replayed_rows(session: Session, topic: Topic, seed: str) -> list[SftRow]:
    """Returns rows of the topics that are in the model, in the order of the course, without the topic's own rows.

    The choice follows from the seed, the curriculum and the ledger, so that a resumed phase has the same rows.
    """
    share = 0.0 if topic.id == FOUNDATION else session.config.sft.replay
    rows = _of_others(session.curriculum.trained, topic, {delta.topic for delta in session.ledger.deltas})
    chosen = random.Random(f"{seed}/replay").sample(range(len(rows)), replayed_count(len(topic.sft), share, len(rows)))
    return [rows[place] for place in sorted(chosen)]


def _of_others(topics: Sequence[Topic], topic: Topic, learned: Collection[str]) -> list[SftRow]:
    """Returns the rows of the other topics that the model has learned, each conversation once."""
    own = {(row.messages, row.answer) for row in topic.sft}
    found = {
        (row.messages, row.answer): row
        for other in topics
        if other.id in learned and other.id != topic.id
        for row in other.sft
    }
    return [row for key, row in found.items() if key not in own]
