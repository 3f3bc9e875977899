"""Makes the files of a curriculum from a workbook: the same workbook gives the same bytes."""

import hashlib
from collections.abc import Iterable

import msgspec
import yaml

from engine.contract.workbook.drafts import Topic
from engine.contract.workbook.ngram_index import Index
from engine.contract.workbook.workbook import Entry, Workbook

ONE = Topic("texts/all/all", "All texts")  # the topic of a workbook without topics
LEAST_QUESTIONS = 5  # of a topic: fewer say little about it
MOST_QUESTIONS = 30  # of a topic: more take time at each evaluation and say little more
TRIED = 20  # rows looked at for each question: many overlap with other rows, such as answers to "How are you?"


def curriculum_files(book: Workbook, quiz_share: float) -> dict[str, bytes]:
    """Returns the content of each file by its name: curriculum.yaml, sft.jsonl, preferences.jsonl and quiz.jsonl.

    The pairs of rows that are held out for the quiz are held out, too.
    """
    topics, by_topic = book.topics or [ONE], rows_by_topic(book)
    held = held_out(by_topic, quiz_share)
    rows = [(topic, entry) for topic, entries in by_topic.items() for entry in entries]
    trained = [(topic, entry) for topic, entry in rows if entry.draft.id not in held]
    return {
        "curriculum.yaml": _course([topic for topic in topics if by_topic[topic.id]]),
        "sft.jsonl": _lines(_sft(topic, entry) for topic, entry in trained),
        "preferences.jsonl": _lines(
            _pair(topic, entry, entry.draft.id in held) for topic, entry in rows if entry.rejected
        ),
        "quiz.jsonl": _lines(_question(topic, entry) for topic, entry in rows if entry.draft.id in held),
    }


def rows_by_topic(book: Workbook) -> dict[str, list[Entry]]:
    """Returns the entries that become rows, by the id of their topic."""
    topics = book.topics or [ONE]
    found: dict[str, list[Entry]] = {topic.id: [] for topic in topics}
    for entry in book.entries():
        if entry.usable:
            found[entry.topic if entry.topic in found else topics[0].id].append(entry)
    return found


def held_out(by_topic: dict[str, list[Entry]], share: float) -> set[str]:
    """Returns the ids of the drafts that become the quiz.

    Of each topic it is the `share` of its rows: LEAST_QUESTIONS or more if twice as many are there, and MOST_QUESTIONS
    or less. Rows of one question alone are taken, by a hash of their id, so that a new row moves few others; and only
    those whose texts do not overlap with another row (rule 19).
    """
    wanted, tried = dict[str, int](), dict[str, list[Entry]]()
    for topic, entries in by_topic.items():
        count = _questions(len(entries), share)
        single = [entry for entry in entries if len(entry.conversation) == 2]
        single.sort(key=lambda entry: hashlib.sha256(entry.draft.id.encode()).digest())
        wanted[topic], tried[topic] = count, single[: TRIED * count]
    index = Index(turn.text for entries in tried.values() for entry in entries for turn in entry.conversation)
    for entries in by_topic.values() if any(tried.values()) else ():
        for entry in entries:
            index.add(entry.draft.id, *(turn.text for turn in entry.conversation))
    held: set[str] = set()
    for topic, entries in tried.items():
        apart = (entry.draft.id for entry in entries if _stands_alone(index, entry))
        held.update(id for id, _ in zip(apart, range(wanted[topic]), strict=False))
    return held


def _questions(rows: int, share: float) -> int:
    least = min(LEAST_QUESTIONS, rows // 2)
    return min(max(round(share * rows), least), MOST_QUESTIONS) if share else 0


def _stands_alone(index: Index, entry: Entry) -> bool:
    """Tells whether no other entry has a text that is identical or nearly identical to one of this entry's."""
    own = frozenset([entry.draft.id])
    return all(index.find(turn.text, own) is None for turn in entry.conversation)


def _messages(entry: Entry) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.text} for turn in entry.conversation]


def _sft(topic: str, entry: Entry) -> dict[str, object]:
    made = {"made": ["question"]} if entry.question_is_made else {}
    return {"topic": topic, "messages": _messages(entry), **made, "origin": _origin(entry)}


def _pair(topic: str, entry: Entry, heldout: bool) -> dict[str, object]:
    *prompt, chosen = _messages(entry)
    rejected = {"role": "assistant", "content": entry.rejected}
    made = ["rejected"] * entry.rejected_is_made + ["question"] * entry.question_is_made
    return {
        "topic": topic,
        "prompt": prompt,
        "chosen": [chosen],
        "rejected": [rejected],
        "heldout": heldout,
        **({"made": made} if made else {}),
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
