"""Units, chapters and topics from YAML and JSONL, every row used or reported by file and line."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.chat import Message
from engine.contract.errors import InputError
from engine.contract.events import TopicInfo
from engine.contract.names import topic_id
from engine.contract.typed import FieldError, build, nearest
from engine.rows import conversation, preference, read_jsonl, text
from engine.voice import VoiceProfile, load_profile


@dataclass(frozen=True, slots=True)
class SftRow:
    """A conversation and the answer that is trained on; `where` is file:line."""

    messages: tuple[Message, ...]
    answer: str
    where: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A conversation with a chosen and a rejected answer."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    heldout: bool | None
    where: str


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question with its reference answer and the concepts that an answer should name."""

    question: str
    reference: str
    concepts: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic after the audit; `pairs` are trained on, `heldout` are not."""

    id: str
    title: str
    unit_title: str
    chapter_title: str
    sft: tuple[SftRow, ...]
    pairs: tuple[Pair, ...]
    heldout: tuple[Pair, ...]
    questions: tuple[Question, ...]

    @property
    def info(self) -> TopicInfo:
        pairs = len(self.pairs) + len(self.heldout)
        counts = (len(self.sft), pairs, len(self.questions))
        return TopicInfo(self.id, self.title, *counts, self.unit_title, self.chapter_title)


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Topics in the order of the course, the voice profile, and a sentence for each row or topic that is off."""

    topics: tuple[Topic, ...]
    profile: VoiceProfile
    warnings: tuple[str, ...]
    rows_read: int
    rows_used: int
    orphans: int  # rows of topics that the course does not list
    duplicates: int

    @property
    def rows_reported(self) -> int:
        return self.orphans + self.duplicates


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


@dataclass
class _Rows:
    """Rows of one topic while the files are read."""

    sft: list[SftRow] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def load_curriculum(folder: Path, only: Sequence[str], needs_pairs: bool, heldout_share: float) -> Curriculum:
    """Reads a curriculum folder; raises InputError with file, line and field for anything that cannot be trained on.

    `only` names the topics to keep (all where it is empty). With `needs_pairs`, a kept topic without a pair to train
    on is an error. Rows of topics that the course does not list are reported, not dropped in silence.
    """
    course = _read_course(folder / "curriculum.yaml")
    rows = {id: _Rows() for id, *_ in course}
    for wanted in only:
        if topic_id(wanted) not in rows:
            raise InputError(f"{folder}: no topic {wanted!r}{nearest(wanted, rows)}")
    reader = _FileReader(rows)
    for name, add in (("sft", reader.sft), ("preferences", reader.pair), ("quiz", reader.question)):
        for where, data in read_jsonl(folder / f"{name}.jsonl"):
            add(where, data)
    warnings = list(reader.reported)
    topics = []
    for id, title, unit_title, chapter_title in course:
        if only and id not in only:
            continue
        pairs, heldout = _hold_out(rows[id].pairs, heldout_share)
        found = (tuple(rows[id].sft), tuple(pairs), tuple(heldout), tuple(rows[id].questions))
        topic = Topic(id, title, unit_title, chapter_title, *found)
        _require_rows(folder, topic, needs_pairs)
        warnings += _length_warnings(topic)
        topics.append(topic)
    used = reader.read - len(reader.reported)
    profile = load_profile(folder / "voice.yaml")
    return Curriculum(
        tuple(topics),
        profile,
        tuple(warnings),
        reader.read,
        used,
        reader.orphans,
        len(reader.reported) - reader.orphans,
    )


def _read_course(path: Path) -> list[tuple[str, str, str, str]]:
    """(id, title, unit title, chapter title) of every topic."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such curriculum file") from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: the curriculum cannot be read ({error})") from error
    try:
        course: _Course = build(_Course, data)
        topics = [
            (topic_id(f"{unit.id}/{chapter.id}/{topic.id}"), topic.title, unit.title, chapter.title)
            for unit in course.units
            for chapter in unit.chapters
            for topic in chapter.topics
        ]
    except (FieldError, InputError) as error:
        raise InputError(f"{path}: {error}") from error
    ids = [id for id, *_ in topics]
    if not topics:
        raise InputError(f"{path}: the curriculum has no topics; expected at least one")
    if twice := [id for id in ids if ids.count(id) > 1] if len(set(ids)) < len(ids) else []:
        raise InputError(f"{path}: topic {twice[0]} is listed twice")
    return topics


class _FileReader:
    """Sorts rows into topics; a row that is used by no topic is reported."""

    def __init__(self, rows: dict[str, _Rows]) -> None:
        self.rows = rows
        self.read = 0
        self.orphans = 0
        self.reported: list[str] = []
        self._seen: dict[tuple[Any, ...], str] = {}

    def sft(self, where: str, data: dict[str, Any]) -> None:
        messages, answer = conversation(where, data)
        self._add(where, data, "sft", SftRow(messages, answer, where), (messages, answer))

    def pair(self, where: str, data: dict[str, Any]) -> None:
        heldout = data.get("heldout")
        if heldout is not None and not isinstance(heldout, bool):
            raise InputError(f"{where}: heldout: found {heldout!r}, expected true or false")
        prompt, chosen, rejected = preference(where, data)
        if chosen == rejected:
            raise InputError(f"{where}: rejected: the same text as chosen")
        self._add(where, data, "pairs", Pair(prompt, chosen, rejected, heldout, where), (prompt, chosen, rejected))

    def question(self, where: str, data: dict[str, Any]) -> None:
        concepts = data.get("concepts", [])
        if not isinstance(concepts, list) or not all(isinstance(item, str) and item.strip() for item in concepts):
            raise InputError(f"{where}: concepts: found {concepts!r}, expected a list of words")
        question, reference = text(where, data, "question"), text(where, data, "reference")
        self._add(
            where, data, "questions", Question(question, reference, tuple(concepts), where), (question, reference)
        )

    def _add(self, where: str, data: dict[str, Any], kind: str, row: Any, key: tuple[Any, ...]) -> None:
        self.read += 1
        topic = data.get("topic", data.get("source"))
        if not isinstance(topic, str) or not topic:
            raise InputError(f"{where}: topic: found {topic!r}, expected a topic id")
        if topic not in self.rows:
            self.orphans += 1
            self.reported.append(f"{where}: not used: the curriculum has no topic {topic!r}")
        elif first := self._seen.get((kind, topic, *key)):
            self.reported.append(f"{where}: not used: the same as {first}")
        else:
            self._seen[(kind, topic, *key)] = where
            getattr(self.rows[topic], kind).append(row)


def _hold_out(pairs: list[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Splits pairs as the rows say; where none says so, the stated share by hash of the prompt, one at least of two."""
    if any(pair.heldout is not None for pair in pairs) or len(pairs) < 2 or share == 0:
        return [pair for pair in pairs if not pair.heldout], [pair for pair in pairs if pair.heldout]
    count = max(1, min(len(pairs) - 1, round(share * len(pairs))))
    by_hash = sorted(pairs, key=lambda pair: hashlib.sha256(repr((pair.messages, pair.chosen)).encode()).digest())
    held = [dataclasses.replace(pair, heldout=True) for pair in by_hash[:count]]
    chosen = {pair.where for pair in held}
    return [pair for pair in pairs if pair.where not in chosen], held


def _require_rows(folder: Path, topic: Topic, needs_pairs: bool) -> None:
    if not topic.sft:
        raise InputError(f"{folder / 'sft.jsonl'}: topic {topic.id} has no rows to train on")
    if not topic.questions:
        raise InputError(f"{folder / 'quiz.jsonl'}: topic {topic.id} has no held-out question")
    if needs_pairs and not topic.pairs:
        raise InputError(
            f"{folder / 'preferences.jsonl'}: topic {topic.id} has no pair to train on; "
            "add some, or set dpo.when: never"
        )


def length_ratio(topic: Topic) -> float | None:
    """Characters of the rejected answers that are trained on over those of the chosen ones; None without a pair."""
    if not topic.pairs:
        return None
    return sum(len(pair.rejected) for pair in topic.pairs) / sum(len(pair.chosen) for pair in topic.pairs)


def _length_warnings(topic: Topic) -> list[str]:
    """Rule 22: where rejected answers are much shorter or longer, DPO teaches length."""
    ratio = length_ratio(topic)
    if ratio is None or 0.8 <= ratio <= 1.25:
        return []
    return [
        f"{topic.id}: rejected answers are {ratio:.2f} x as long as chosen ones; outside 0.8-1.25 DPO teaches length"
    ]
