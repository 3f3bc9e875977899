"""Reads curriculum.yaml: the units, chapters and topics of a course, with ids and titles."""

from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.names import topic_id
from engine.contract.schema import FieldError, build
from engine.contract.settings.yaml_file import mapping, read_text


@dataclass(frozen=True, slots=True)
class TopicPlace:
    """A topic and its place in the course."""

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


def read_course(path: Path) -> dict[str, TopicPlace]:
    """Returns the topics of curriculum.yaml by id, the name that rows use; raises InputError."""
    try:
        data = mapping(path, read_text(path), "a mapping with units")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such curriculum file") from error
    try:
        course: _Course = build(_Course, data)
        topics = [
            TopicPlace(topic_id(f"{unit.id}/{chapter.id}/{topic.id}"), topic.title, unit.title, chapter.title)
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
