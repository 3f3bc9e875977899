"""The topics of a course: those that curriculum.yaml lists or, where there is none, those that the rows name."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.names import TOPIC_ID, topic_id
from engine.contract.schema import FieldError, build
from engine.contract.settings.yaml_file import mapping, read_text

MAX_TOPICS = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """A topic and where it stands in the course."""

    id: str
    title: str
    unit_title: str
    chapter_title: str


@dataclass(frozen=True, slots=True)
class _TopicSpec:
    id: str
    title: str


@dataclass(frozen=True, slots=True)
class _ChapterSpec:
    id: str
    title: str
    topics: tuple[_TopicSpec, ...]


@dataclass(frozen=True, slots=True)
class _UnitSpec:
    id: str
    title: str
    chapters: tuple[_ChapterSpec, ...]


@dataclass(frozen=True, slots=True)
class _Course:
    units: tuple[_UnitSpec, ...]
    title: str = ""


def read_course(path: Path) -> dict[str, Place]:
    """The topics of curriculum.yaml by the name that rows give them, which is their id; raises InputError."""
    try:
        data = mapping(path, read_text(path), "a mapping with units")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such curriculum file") from error
    try:
        course: _Course = build(_Course, data)
        topics = [
            Place(topic_id(f"{unit.id}/{chapter.id}/{topic.id}"), topic.title, unit.title, chapter.title)
            for unit in course.units
            for chapter in unit.chapters
            for topic in chapter.topics
        ]
    except (FieldError, InputError) as error:
        raise InputError(f"{path}: {error}") from error
    places = {place.id: place for place in topics}
    if not topics:
        raise InputError(f"{path}: the curriculum has no topics; expected at least one")
    if len(places) < len(topics):
        ids = [place.id for place in topics]
        twice = next(id for id in ids if ids.count(id) > 1)
        raise InputError(f"{path}: topic {twice} is listed twice")
    return places


def name_course(names: Iterable[str], source: str) -> dict[str, Place]:
    """A topic for each name, in order, with an id made from it; one topic, called as its `source`, for no names.

    A name that is an id stays one. Raises InputError for more names than a course can have.
    """
    places: dict[str, Place] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        if len(places) == MAX_TOPICS:
            raise InputError(f"{source}: the rows name more than {MAX_TOPICS:,} topics; is that the right column?")
        id = name if TOPIC_ID.fullmatch(name) else _id(name, taken)
        taken.add(id)
        places[name] = Place(id, " ".join(name.split())[:200], source, source)
    return places or {"": Place(_id("topic-01", taken), source, source, source)}


def _id(name: str, taken: set[str]) -> str:
    part = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:48].strip("-") or "topic"
    id, number = f"unit-01/chapter-01/{part}", 2
    while id in taken:
        id, number = f"unit-01/chapter-01/{part}-{number}", number + 1
    return id
