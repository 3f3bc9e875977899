"""The foundation: a first topic with the rows and questions of several topics, trained before them one by one."""

from collections.abc import Sequence
from dataclasses import replace

from engine.contract.errors import InputError
from engine.contract.names import find_topics
from engine.contract.vocabulary import FOUNDATION
from engine.data.curriculum import Curriculum
from engine.data.topic import Topic

TITLE = "Foundation: all rows"


def with_foundation(curriculum: Curriculum, names: Sequence[str] = ()) -> Curriculum:
    """Returns the curriculum with a foundation of the named topics of the course; without names, of all in the run.

    A run of a single topic has no foundation: its rows would be the same. Raises InputError for an
    unknown name, and if a topic has the foundation's id.
    """
    others = [replace(topic, pairs=(), heldout=()) for topic in curriculum.further]  # their pairs train nothing
    every = (*curriculum.topics, *others)
    if any(topic.id == FOUNDATION for topic in every):
        raise InputError(
            f"topic {FOUNDATION}: this is the id of the foundation; rename it, or set foundation.epochs: 0"
        )
    parts = curriculum.topics
    if names:
        try:
            wanted = find_topics(names, {topic.id: topic.title for topic in every})
        except InputError as error:
            raise InputError(f"foundation.topics: {error}") from error
        parts = tuple(topic for topic in every if topic.id in wanted)
    if [part.id for part in parts] == [topic.id for topic in curriculum.topics][:1]:
        return curriculum
    rows = tuple(row for topic in parts for row in topic.sft)
    questions = tuple(question for topic in parts for question in topic.questions)
    return replace(curriculum, foundation=Topic(FOUNDATION, TITLE, TITLE, TITLE, rows, (), (), questions, parts))
