"""Loads a curriculum: units, chapters and topics with their rows; each row is used or reported."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.names import find_topics
from engine.contract.settings.config import CurriculumConfig
from engine.contract.settings.course import TopicPlace, read_course
from engine.contract.settings.row_files import row_kind
from engine.contract.wording import several, short
from engine.data.data_warnings import form_warnings, length_warnings, profile_warnings
from engine.data.forms.system_messages import asked_with, system_of
from engine.data.gather import Found, called, gather, sources_of
from engine.data.heldout.holdout import TopicRows, hold_out
from engine.data.topic import Topic
from engine.data.topic_list import name_course
from engine.data.unusable import SHOWN, UnusableRow, UnusableRows
from engine.data.voice_profile import VoiceProfile, load_profile
from engine.rules.enforce import require

LISTS = {"sft": "sft", "preferences": "pairs", "quiz": "questions"}  # role -> field of TopicRows


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Topics in the order of the course, the voice profile, and a warning for each problem with a row or a topic.

    `further` are the topics of the course that the run leaves out. Their texts are examples of the voice, too.
    `foundation` has the rows and questions of all topics, if the run trains on them together first.
    """

    topics: tuple[Topic, ...]
    profile: VoiceProfile
    warnings: tuple[str, ...]
    rows_read: int
    rows_used: int
    orphans: int  # rows whose topic is not in the course
    duplicates: int
    further: tuple[Topic, ...] = ()
    unusable: tuple[UnusableRow, ...] = ()  # left out, since curriculum.bad_rows is `report`
    not_trained: int = 0  # rows that say of themselves that they are not to be trained on
    foundation: Topic | None = None

    @property
    def trained(self) -> tuple[Topic, ...]:
        """The foundation, if there is one, then the topics: everything that the run trains, in its order."""
        return self.topics if self.foundation is None else (self.foundation, *self.topics)

    @property
    def asked(self) -> tuple[Topic, ...]:
        """The topics whose held-out questions are asked: those of the run, and others that the foundation has."""
        mine = {topic.id for topic in self.topics}
        parts = self.foundation.parts if self.foundation else ()
        return (*self.topics, *(part for part in parts if part.id not in mine))

    @property
    def digests(self) -> dict[str, str]:
        """Topic id -> digest of its rows, in the order of training."""
        return {topic.id: topic.digest for topic in self.trained}

    @property
    def rows_reported(self) -> int:
        return self.orphans + self.duplicates + self.not_trained + len(self.unusable)


def load_curriculum(settings: CurriculumConfig, needs_pairs: bool) -> Curriculum:
    """Reads a curriculum; raises InputError with place and field for rows or topics that cannot be trained on.

    If `needs_pairs` is true, a selected topic must have a pair to train on. A row whose topic is not in the course
    gives a warning. So does a row that cannot be used, if curriculum.bad_rows is `report`.
    """
    folder = Path(settings.path)
    warnings: list[str] = []
    _require_folder(folder)
    listed = read_course(folder / "curriculum.yaml") if os.path.lexists(folder / "curriculum.yaml") else None
    optional = {"preferences": not needs_pairs, "quiz": settings.quiz_share > 0}
    sources = sources_of(settings, optional, warnings)
    gathered = gather(sources, settings.system)
    warnings += gathered.warnings(sources)
    if gathered.unusable and settings.bad_rows == "refuse":
        raise UnusableRows(gathered.unusable)
    named = (item.topic for item in gathered.found if item.role == "sft" and item.topic)
    names = listed or name_course(named, called(sources["sft"]))
    if listed is None:
        warnings.append(f"{folder}: there is no curriculum.yaml; the rows name {several(len(names), 'topic')}")
    places = {place.id: place for place in names.values()}
    wanted = _wanted(folder, settings.topics, places)
    rows, orphans, duplicates, nameless = _sort(gathered.found, names)
    if nameless and settings.bad_rows == "refuse":
        raise UnusableRows(nameless)
    read = gathered.read
    gathered.unusable += nameless
    kept = {id: rows[id] for id in places if not wanted or id in wanted}
    reported = [f"{row.where}: not used: {row.problem}" for row in gathered.unusable]
    warnings = [*reported, *orphans, *duplicates, *warnings]
    warnings += hold_out(kept, settings.heldout_share, settings.quiz_share)
    _require_rows({role: called(named) for role, named in sources.items()}, kept, needs_pairs)
    topics = []
    for id, mine in kept.items():
        mine.questions = asked_with(mine.questions, system_of(mine.sft))
        topic = _topic(places[id], mine)
        warnings += [*length_warnings(topic), *form_warnings(topic)]
        topics.append(topic)
    further = [_topic(place, rows[id]) for id, place in places.items() if id not in kept]
    profile = load_profile(folder / "voice.yaml")
    warnings += profile_warnings(profile, folder / "voice.yaml", [*topics, *further])
    used = sum(len(items) for mine in rows.values() for items in (mine.sft, mine.pairs, mine.heldout, mine.questions))
    curriculum = Curriculum(
        topics=tuple(topics),
        profile=profile,
        warnings=tuple(warnings),
        rows_read=read,
        rows_used=used,
        orphans=len(orphans),
        duplicates=len(duplicates),
        further=tuple(further),
        unusable=tuple(gathered.unusable),
        not_trained=len(gathered.not_trained),
    )
    _account(curriculum)
    return curriculum


def without(curriculum: Curriculum, left_out: Sequence[UnusableRow], bad_rows: str, needs_pairs: bool) -> Curriculum:
    """Returns the curriculum without rows that cannot be rendered.

    Raises UnusableRows unless `bad_rows`, the setting, is "report", and InputError if a topic has too few rows left.
    """
    if bad_rows != "report":
        raise UnusableRows(left_out)
    places, reported = {row.where for row in left_out}, {str(row): row for row in left_out}
    topics, further = (
        tuple(topic.without(places) for topic in every) for every in (curriculum.topics, curriculum.further)
    )
    named = {role: f"curriculum.{role}" for role in LISTS}
    _require_rows(named, {topic.id: topic for topic in topics}, needs_pairs)
    lost = _count((*curriculum.topics, *curriculum.further)) - _count((*topics, *further))
    found = replace(
        curriculum,
        topics=topics,
        foundation=curriculum.foundation and curriculum.foundation.without(places),
        further=further,
        warnings=(*(f"{row.where}: not used: {row.problem}" for row in reported.values()), *curriculum.warnings),
        rows_used=curriculum.rows_used - lost,
        unusable=(*curriculum.unusable, *reported.values()),
    )
    _account(found)
    return found


def _count(topics: Sequence[Topic]) -> int:
    return sum(len(topic.sft) + len(topic.pairs) + len(topic.heldout) + len(topic.questions) for topic in topics)


def _account(curriculum: Curriculum) -> None:
    """Checks rule 23: each row that was read is used or reported."""
    read, used, reported = curriculum.rows_read, curriculum.rows_used, curriculum.rows_reported
    message = f"{read} rows were read, {used} are used and {reported} reported"
    require("rows-accounted", read == used + reported, message)


def _require_folder(folder: Path) -> None:
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # the name is too long, or permission is denied
        raise InputError(f"curriculum.path: {short(str(folder))}: cannot be read ({error.strerror})") from error
    if not is_folder:
        hint = "; if the rows are elsewhere, name them in curriculum.sft" if row_kind(folder.name) else ""
        there = "a file, and no folder" if folder.exists() else "no such curriculum folder"
        raise InputError(f"curriculum.path: {folder}: {there}{hint}")


def _topic(place: TopicPlace, rows: TopicRows) -> Topic:
    lists = (tuple(rows.sft), tuple(rows.pairs), tuple(rows.heldout), tuple(rows.questions))
    return Topic(place.id, place.title, place.unit_title, place.chapter_title, *lists)


def _wanted(folder: Path, names: Sequence[str], places: Mapping[str, TopicPlace]) -> set[str]:
    """Returns the ids of the topics in curriculum.topics; raises InputError for an unknown or ambiguous name."""
    try:
        return find_topics(names, {id: place.title for id, place in places.items()})
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def _sort(
    found: Sequence[Found], names: Mapping[str, TopicPlace]
) -> tuple[dict[str, TopicRows], list[str], list[str], list[UnusableRow]]:
    """Returns the rows by topic id, a warning for each row of another topic and for each duplicate, and unusable rows.

    In a course with one topic, a row does not have to name it. If no row names a topic, all rows belong to one topic.
    """
    rows = {place.id: TopicRows() for place in names.values()}
    orphans, duplicates, nameless = [], [], []
    seen: dict[tuple[Any, ...], str] = {}
    alone = next(iter(names.values())) if len(names) == 1 else None
    for item in found:
        where, place = item.row.where, alone if item.topic is None or "" in names else names.get(item.topic)
        if place is None and item.topic is None:
            nameless.append(UnusableRow(where, "topic: found None, expected a topic id"))
        elif place is None:
            orphans.append(f"{where}: not used: the curriculum has no topic {short(item.topic)}")
        elif first := seen.get((item.role, place.id, *item.key)):
            duplicates.append(f"{where}: not used: the same as {first}")
        else:
            seen[(item.role, place.id, *item.key)] = where
            getattr(rows[place.id], LISTS[item.role]).append(item.row)
    return rows, orphans, duplicates, nameless


def _require_rows(sources: Mapping[str, str], topics: Mapping[str, TopicRows | Topic], needs_pairs: bool) -> None:
    """Raises InputError that names every topic without rows, without a question, or without a pair if one is needed."""
    lacking = []
    for id, rows in topics.items():
        if not rows.sft:
            lacking.append(f"{sources['sft']}: topic {id} has no rows to train on")
        if not rows.questions:
            lacking.append(f"{sources['quiz']}: topic {id} has no held-out question")
        if needs_pairs and not rows.pairs:
            lacking.append(
                f"{sources['preferences']}: topic {id} has no pair to train on; add some, or set dpo.when: never"
            )
    if lacking:
        more = [f"and {len(lacking) - SHOWN} more"] if len(lacking) > SHOWN else []
        raise InputError("\n  ".join([*lacking[:SHOWN], *more]))
