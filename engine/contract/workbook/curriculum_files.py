"""Makes the files of a curriculum from a workbook: the same workbook gives the same bytes."""

import hashlib
from collections.abc import Iterable

import msgspec
import yaml

from engine.contract.workbook.drafts import Topic
from engine.contract.workbook.workbook import Entry, Workbook

ONE = Topic("texts/all/all", "All texts")  # the topic of a workbook without topics
LEAST_QUESTIONS = 5  # of a topic: fewer say little about it


def curriculum_files(book: Workbook, quiz_share: float) -> dict[str, bytes]:
    """Returns the content of each file by its name: curriculum.yaml, sft.jsonl, preferences.jsonl and quiz.jsonl.

    Of each topic the share `quiz_share` of its rows is held out for the quiz, and at least LEAST_QUESTIONS if twice as
    many are there. Rows of one question alone are taken, by a hash of their id, so that a new row moves few others.
    """
    topics = book.topics or [ONE]
    known = {topic.id for topic in topics}
    by_topic: dict[str, list[Entry]] = {topic.id: [] for topic in topics}
    for entry in book.entries():
        if entry.usable:
            by_topic[entry.topic if entry.topic in known else topics[0].id].append(entry)
    held = {entry.draft.id for entries in by_topic.values() for entry in _held_out(entries, quiz_share)}
    rows = [(topic, entry) for topic, entries in by_topic.items() for entry in entries]
    trained = [(topic, entry) for topic, entry in rows if entry.draft.id not in held]
    return {
        "curriculum.yaml": _course([topic for topic in topics if by_topic[topic.id]]),
        "sft.jsonl": _lines(_sft(topic, entry) for topic, entry in trained),
        "preferences.jsonl": _lines(_pair(topic, entry) for topic, entry in trained if entry.rejected),
        "quiz.jsonl": _lines(_question(topic, entry) for topic, entry in rows if entry.draft.id in held),
    }


def _held_out(entries: list[Entry], share: float) -> list[Entry]:
    """Returns the entries of a topic that become its quiz."""
    single = [entry for entry in entries if len(entry.conversation) == 2]
    wanted = max(round(share * len(entries)), min(LEAST_QUESTIONS, len(entries) // 2)) if share else 0
    return sorted(single, key=lambda entry: hashlib.sha256(entry.draft.id.encode()).digest())[:wanted]


def _messages(entry: Entry) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.text} for turn in entry.conversation]


def _sft(topic: str, entry: Entry) -> dict[str, object]:
    made = {"made": ["question"]} if entry.question_is_made else {}
    return {"topic": topic, "messages": _messages(entry), **made, "origin": _origin(entry)}


def _pair(topic: str, entry: Entry) -> dict[str, object]:
    *prompt, chosen = _messages(entry)
    rejected = {"role": "assistant", "content": entry.rejected}
    made = ["rejected", "question"] if entry.question_is_made else ["rejected"]
    return {
        "topic": topic,
        "prompt": prompt,
        "chosen": [chosen],
        "rejected": [rejected],
        "made": made,
        "origin": _origin(entry),
    }


def _question(topic: str, entry: Entry) -> dict[str, object]:
    question, answer = entry.conversation
    made = {"made": ["question"]} if entry.question_is_made else {}
    return {"topic": topic, "question": question.text, "reference": answer.text, **made, "origin": _origin(entry)}


def _origin(entry: Entry) -> str:
    return f"{entry.draft.source}, {entry.draft.place}"


def _course(topics: list[Topic]) -> bytes:
    units: dict[str, dict[str, list[Topic]]] = {}
    for topic in topics:
        unit, chapter, _ = topic.id.split("/")
        units.setdefault(unit, {}).setdefault(chapter, []).append(topic)
    data = {
        "units": [
            {
                "id": unit,
                "title": unit.capitalize(),
                "chapters": [
                    {
                        "id": chapter,
                        "title": chapter.capitalize(),
                        "topics": [{"id": topic.id.rpartition("/")[2], "title": topic.title} for topic in inside],
                    }
                    for chapter, inside in chapters.items()
                ],
            }
            for unit, chapters in units.items()
        ]
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()


def _lines(rows: Iterable[dict[str, object]]) -> bytes:
    return b"".join(_spell(row) for row in rows)


def _spell(row: dict[str, object]) -> bytes:
    return msgspec.json.encode(row) + b"\n"
