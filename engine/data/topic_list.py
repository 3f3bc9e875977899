"""Builds the list of topics from the names in the rows if there is no curriculum.yaml."""

import re
from collections.abc import Iterable
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.names import TOPIC_ID
from engine.contract.settings.course import TopicPlace
from engine.contract.settings.row_files import bare_name
from engine.contract.wording import short

MAX_TOPICS = 10_000


def name_course(names: Iterable[str], source: str) -> dict[str, TopicPlace]:
    """Returns a topic for each name, in order, with an id made from the name.

    If a name is already a topic id, it stays the id, and its parts are the titles of unit, chapter and topic. If there
    are no names, the course has one topic, with its title made from `source`. Raises InputError if there are more names
    than a course can have, or if a name contains half of a surrogate pair.
    """
    places: dict[str, TopicPlace] = {}
    taken: set[str] = set()
    course = _title(source)
    for name in dict.fromkeys(names):
        if len(places) == MAX_TOPICS:
            raise InputError(f"{source}: the rows name more than {MAX_TOPICS:,} topics; is that the right column?")
        if any("\ud800" <= char <= "\udfff" for char in name):
            raise InputError(f"{source}: topic: found {short(name)}, which has half of a character in it")
        if TOPIC_ID.fullmatch(name):
            unit, chapter, topic = name.split("/")
            places[name] = TopicPlace(name, topic, unit, chapter)
        else:
            places[name] = TopicPlace(_id(name, taken), " ".join(name.split())[:200], course, course)
        taken.add(places[name].id)
    return places or {"": TopicPlace(_id("topic-01", taken), course, course, course)}


def _title(source: str) -> str:
    """Returns a title for a file or a dataset: the folder's name for sft.jsonl, else the last part of the path."""
    path, name = Path(source), bare_name(source)
    return (path.parent.name if name in ("sft", "sft_data") else "") or name or source


def _id(name: str, taken: set[str]) -> str:
    part = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:48].strip("-") or "topic"
    id, number = f"unit-01/chapter-01/{part}", 2
    while id in taken:
        id, number = f"unit-01/chapter-01/{part}-{number}", number + 1
    return id
