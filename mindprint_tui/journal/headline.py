"""Headline score of a run: the mean voice over its finished topics.

Each topic counts with the scores of the model that it leaves behind.
"""

from collections.abc import Iterable
from typing import NamedTuple

from engine.contract.journal.events import Evaluated
from engine.contract.vocabulary import BASE
from mindprint_tui.journal.topic_state import TopicState


class Headline(NamedTuple):
    """Means over the number of finished `topics`; None if there are none yet.

    `before` is the base model's mean voice on the same topics.
    """

    voice: float | None
    accuracy: float | None
    before: float | None
    accuracy_before: float | None
    topics: int

    @property
    def over(self) -> str:
        """Text that says how many topics the means cover."""
        return f"over {self.topics:,} finished topic{'' if self.topics == 1 else 's'}"


def headline(topics: Iterable[TopicState]) -> Headline:
    """Returns the means over finished topics, computed as `mean.at_end` of summary.json is.

    If no phase of a topic was kept, the topic counts with its scores before training. The foundation does not count.
    """
    finished = [(topic, left) for topic in topics if topic.counted and (left := end_scores(topic))]
    before = [score for topic, _ in finished if (score := topic.scores.get(BASE))]
    return Headline(
        _mean(left.voice for _, left in finished),
        _mean(left.accuracy for _, left in finished),
        _mean(score.voice for score in before),
        _mean(score.accuracy for score in before),
        len(finished),
    )


def end_scores(topic: TopicState) -> Evaluated | None:
    """Returns the scores of the model that a topic itself leaves behind, or None for an unfinished topic."""
    return topic.at_end if topic.status == "finished" else None


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
