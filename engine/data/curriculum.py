"""Loads a curriculum: units, chapters and topics with their rows; each row is used or reported."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.journal.events import TopicInfo
from engine.contract.names import find_topics
from engine.contract.settings.config import FILES, CurriculumConfig, SourceConfig
from engine.contract.settings.course import TopicPlace, read_course
from engine.contract.wording import several, short
from engine.data.holdout import TopicRows, hold_out
from engine.data.rows import Pair, Question, SftRow, pair_row, question_row, require_whole, sft_row
from engine.data.sources import read_file, read_source
from engine.data.topic_list import name_course
from engine.data.voice_profile import VoiceProfile, load_profile
from engine.rules.enforce import require

FOUND = {  # the first file that exists in the curriculum's folder is used; *_data.jsonl come from the earlier system
    "sft": ("sft.jsonl", "sft.parquet", "sft_data.jsonl"),
    "preferences": ("preferences.jsonl", "preferences.parquet", "preference_data.jsonl"),
    "quiz": ("quiz.jsonl", "quiz.parquet"),
}
LISTS = {"sft": "sft", "preferences": "pairs", "quiz": "questions"}  # role -> field of TopicRows


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its rows; training uses `pairs` but not `heldout`.

    `parts` are the topics that the foundation is made of; empty for any other topic.
    """

    id: str
    title: str
    unit_title: str
    chapter_title: str
    sft: tuple[SftRow, ...]
    pairs: tuple[Pair, ...]
    heldout: tuple[Pair, ...]
    questions: tuple[Question, ...]
    parts: tuple["Topic", ...] = ()

    @property
    def owners(self) -> list[str]:
        """The id of the topic that each question belongs to."""
        return [part.id for part in self.parts or (self,) for _ in part.questions]

    @property
    def info(self) -> TopicInfo:
        pairs = len(self.pairs) + len(self.heldout)
        counts = (len(self.sft), pairs, len(self.questions))
        return TopicInfo(self.id, self.title, *counts, self.unit_title, self.chapter_title)

    @property
    def digest(self) -> str:
        """A hash of the rows in their order. It leaves file paths out: files may move while a run is stopped."""
        lists = (self.sft, self.pairs, self.heldout, self.questions)
        rows = ascii([[replace(row, where="") for row in items] for items in lists])
        return hashlib.sha256(rows.encode()).hexdigest()[:16]


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
        return self.orphans + self.duplicates


@dataclass(frozen=True, slots=True)
class _Found:
    """A row and the topic that it names, if any; two rows with the same `key` are duplicates."""

    role: str
    topic: str | None
    row: SftRow | Pair | Question
    key: tuple[Any, ...]


def load_curriculum(settings: CurriculumConfig, needs_pairs: bool) -> Curriculum:
    """Reads a curriculum; raises InputError with place and field for a row or topic that cannot be trained on.

    If `needs_pairs` is true, a selected topic must have a pair to train on. A row whose topic is not in the course
    gives a warning.
    """
    folder = Path(settings.path)
    warnings: list[str] = []
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # the name is too long, or permission is denied
        raise InputError(f"curriculum.path: {short(str(folder))}: cannot be read ({error.strerror})") from error
    if not is_folder:
        hint = "; where rows are elsewhere, curriculum.sft says so" if folder.suffix.lower() in FILES else ""
        there = "a file, and no folder" if folder.exists() else "no such curriculum folder"
        raise InputError(f"curriculum.path: {folder}: {there}{hint}")
    listed = read_course(folder / "curriculum.yaml") if os.path.lexists(folder / "curriculum.yaml") else None
    optional = {"preferences": not needs_pairs, "quiz": settings.quiz_share > 0}
    sources = {role: _source(settings, role, optional.get(role, False), warnings) for role in FOUND}
    found = {role: list(_read(role, source)) for role, source in sources.items()}
    names = listed or name_course((item.topic for item in found["sft"] if item.topic), _called(sources["sft"]))
    if listed is None:
        warnings.append(f"{folder}: there is no curriculum.yaml; the rows name {several(len(names), 'topic')}")
    places = {place.id: place for place in names.values()}
    wanted = _wanted(folder, settings.topics, places)
    rows, orphans, duplicates = _sort([item for items in found.values() for item in items], names)
    kept = {id: rows[id] for id in places if not wanted or id in wanted}
    warnings = [*orphans, *duplicates, *warnings, *hold_out(kept, settings.heldout_share, settings.quiz_share)]
    topics = []
    for id, mine in kept.items():
        place, lists = places[id], (tuple(mine.sft), tuple(mine.pairs), tuple(mine.heldout), tuple(mine.questions))
        topic = Topic(id, place.title, place.unit_title, place.chapter_title, *lists)
        _require_rows({role: _called(source) for role, source in sources.items()}, topic, needs_pairs)
        warnings += [*length_warnings(topic), *_form_warnings(topic)]
        topics.append(topic)
    further = [_untrained(place, rows[id]) for id, place in places.items() if id not in kept]
    profile = load_profile(folder / "voice.yaml")
    read = sum(map(len, found.values()))
    used = sum(len(items) for mine in rows.values() for items in (mine.sft, mine.pairs, mine.heldout, mine.questions))
    reported = len(orphans) + len(duplicates)
    require(
        "rows-accounted", read == used + reported, f"{read} rows were read, {used} are used and {reported} reported"
    )
    return Curriculum(
        tuple(topics), profile, tuple(warnings), read, used, len(orphans), len(duplicates), tuple(further)
    )


def _untrained(place: TopicPlace, rows: TopicRows) -> Topic:
    """Returns a topic that the run leaves out."""
    lists = (tuple(rows.sft), tuple(rows.pairs), tuple(rows.heldout), tuple(rows.questions))
    return Topic(place.id, place.title, place.unit_title, place.chapter_title, *lists)


def _wanted(folder: Path, names: Sequence[str], places: Mapping[str, TopicPlace]) -> set[str]:
    """Returns the ids of the topics in curriculum.topics; raises InputError for an unknown or ambiguous name."""
    try:
        return find_topics(names, {id: place.title for id, place in places.items()})
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def _source(settings: CurriculumConfig, role: str, optional: bool, warnings: list[str]) -> SourceConfig | Path | None:
    """Returns the source of a role: the configured one, or the first file in the folder; warns about other files."""
    named = {"sft": settings.sft, "preferences": settings.preferences, "quiz": settings.quiz}[role]
    if named:
        return SourceConfig(named) if isinstance(named, str) else named
    folder = Path(settings.path)
    there = [folder / name for name in FOUND[role] if (folder / name).exists()]
    if strange := [path for path in there if path.is_dir()]:
        raise InputError(
            f"{strange[0]}: a folder, where a file is expected; curriculum.{role} can name it as a dataset"
        )
    warnings += [f"{path}: not read, since {there[0].name} is there too" for path in there[1:]]
    if not there and not optional:
        hint = " (or set curriculum.quiz_share, to hold out some of the training rows)" if role == "quiz" else ""
        raise InputError(
            f"{folder / FOUND[role][0]}: no such file; a curriculum has sft.jsonl, preferences.jsonl and quiz.jsonl, "
            f"or its configuration names where they are (curriculum.{role}){hint}"
        )
    return there[0] if there else None


def _called(source: SourceConfig | Path | None) -> str:
    return source.path if isinstance(source, SourceConfig) else str(source or "")


def _read(role: str, source: SourceConfig | Path | None) -> Iterator[_Found]:
    if source is None:
        return
    for where, data in read_file(source) if isinstance(source, Path) else read_source(source):
        row: SftRow | Pair | Question
        key: tuple[Any, ...]
        if role == "sft":
            row = sft_row(where, data)
            key = (row.messages, row.answer)
        elif role == "preferences":
            row = pair_row(where, data)
            key = (row.messages, row.chosen, row.rejected)
        else:
            row = question_row(where, data)
            key = (row.question, row.reference)
        topic = data.get("topic", data.get("source"))
        if topic is not None and not (isinstance(topic, str) and topic.strip()):
            raise InputError(f"{where}: topic: found {short(topic)}, expected a topic id")
        require_whole(f"{where}: topic", topic or "")
        yield _Found(role, topic, row, key)


def _sort(
    found: Sequence[_Found], names: Mapping[str, TopicPlace]
) -> tuple[dict[str, TopicRows], list[str], list[str]]:
    """Returns the rows by topic id, then a warning for each row without a topic, then one for each duplicate row.

    In a course with one topic, a row does not have to name it. If no row names a topic, all rows belong to one topic.
    """
    rows = {place.id: TopicRows() for place in names.values()}
    orphans, duplicates = [], []
    seen: dict[tuple[Any, ...], str] = {}
    alone = next(iter(names.values())) if len(names) == 1 else None
    for item in found:
        where, place = item.row.where, alone if item.topic is None or "" in names else names.get(item.topic)
        if place is None and item.topic is None:
            raise InputError(f"{where}: topic: found None, expected a topic id")
        if place is None:
            orphans.append(f"{where}: not used: the curriculum has no topic {short(item.topic)}")
        elif first := seen.get((item.role, place.id, *item.key)):
            duplicates.append(f"{where}: not used: the same as {first}")
        else:
            seen[(item.role, place.id, *item.key)] = where
            getattr(rows[place.id], LISTS[item.role]).append(item.row)
    return rows, orphans, duplicates


def _require_rows(sources: Mapping[str, str], topic: Topic, needs_pairs: bool) -> None:
    if not topic.sft:
        raise InputError(f"{sources['sft']}: topic {topic.id} has no rows to train on")
    if not topic.questions:
        raise InputError(f"{sources['quiz']}: topic {topic.id} has no held-out question")
    if needs_pairs and not topic.pairs:
        raise InputError(
            f"{sources['preferences']}: topic {topic.id} has no pair to train on; add some, or set dpo.when: never"
        )


def _form_warnings(topic: Topic) -> list[str]:
    """Returns warnings about rows of an unusual form: plain text, several answers, or a system message."""
    found = []
    if plain := sum(not row.messages for row in topic.sft):
        found.append(
            f"{topic.id}: {plain} of {len(topic.sft)} rows are plain text; they are trained on whole, without the "
            "chat template that the model is asked with"
        )
    earlier = [sum(message.role == "assistant" for message in row.messages) for row in topic.sft]
    if several_turns := sum(map(bool, earlier)):
        found.append(
            f"{topic.id}: {several_turns} of {len(topic.sft)} rows are conversations of several answers; the last of "
            f"each is trained on, and the {sum(earlier)} before them are read as context"
        )
    rows: tuple[SftRow | Pair, ...] = (*topic.sft, *topic.pairs, *topic.heldout)
    if told := sum(any(message.role == "system" for message in row.messages) for row in rows):
        found.append(
            f"{topic.id}: {told} of {len(rows)} rows and pairs have a system message; questions are asked without one"
        )
    return found


def length_ratio(topic: Topic) -> float | None:
    """Returns the total length of rejected answers divided by that of chosen ones; None without a training pair."""
    if not topic.pairs:
        return None
    return sum(len(pair.rejected) for pair in topic.pairs) / sum(len(pair.chosen) for pair in topic.pairs)


def length_warnings(topic: Topic) -> list[str]:
    """Rule 22: warns if rejected answers are much shorter or longer than chosen ones, since DPO then teaches length."""
    ratio = length_ratio(topic)
    if ratio is None or 0.8 <= ratio <= 1.25:
        return []
    return [
        f"{topic.id}: rejected answers are {ratio:.2f} x as long as chosen ones; outside 0.8-1.25 DPO teaches length"
    ]
