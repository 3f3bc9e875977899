"""The foundation: a first topic with the rows and questions of all topics, trained before them one by one."""

from dataclasses import replace

from engine.contract.errors import InputError
from engine.contract.vocabulary import FOUNDATION
from engine.data.curriculum import Curriculum, Topic

TITLE = "Foundation: all rows"


def with_foundation(curriculum: Curriculum) -> Curriculum:
    """Returns the curriculum with a foundation; unchanged if it has a single topic, whose rows are all rows already.

    Raises InputError if a topic has the foundation's id.
    """
    topics = curriculum.topics
    if len(topics) < 2:
        return curriculum
    if any(topic.id == FOUNDATION for topic in topics):
        raise InputError(
            f"topic {FOUNDATION}: this id belongs to the foundation; rename it, or set foundation.epochs: 0"
        )
    rows = tuple(row for topic in topics for row in topic.sft)
    questions = tuple(question for topic in topics for question in topic.questions)
    return replace(curriculum, foundation=Topic(FOUNDATION, TITLE, TITLE, TITLE, rows, (), (), questions, topics))
