"""The one number for a run: the mean voice of its finished topics, each by what it leaves behind."""

from collections.abc import Iterable
from typing import NamedTuple

from engine.contract.journal.events import Evaluated
from engine.contract.vocabulary import BASE
from mindprint_tui.journal.topic_state import TopicState


class Headline(NamedTuple):
    """Means over `topics` finished topics; None if there is none yet. `before` is the base model's voice on these."""

    voice: float | None
    accuracy: float | None
    before: float | None
    accuracy_before: float | None
    topics: int

    @property
    def over(self) -> str:
        """What the means are over."""
        return f"over {self.topics:,} finished topic{'' if self.topics == 1 else 's'}"


def headline(topics: Iterable[TopicState]) -> Headline:
    """As `mean.final` of summary.json: what was not kept of a topic counts by the scores with which it began."""
    finished = [(topic, left) for topic in topics if (left := left_behind(topic))]
    before = [score for topic, _ in finished if (score := topic.scores.get(BASE))]
    return Headline(
        _mean(left.voice for _, left in finished),
        _mean(left.accuracy for _, left in finished),
        _mean(score.voice for score in before),
        _mean(score.accuracy for score in before),
        len(finished),
    )


def left_behind(topic: TopicState) -> Evaluated | None:
    """The scores of the model that a finished topic leaves behind; None for a topic that is not finished."""
    return topic.final if topic.status == "finished" else None


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
