"""Reads rows that are questions with answers, or conversations, in all forms of docs/DATA.md."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.load import FIELDS
from engine.contract.workbook.drafts import Turn
from engine.data.forms.pairs import pair_row
from engine.data.forms.row_types import NotTrained, Pair
from engine.data.forms.rows import question_row, sft_row
from engine.data.sources.csv_files import read_csv
from engine.data.sources.read import TOPICS, present, topic_name
from engine.data.sources.tables import read_table
from engine.data.sources.text_files import Row, read_json, read_jsonl
from engine.data.templates.chat_template import Message as RowMessage
from engine.intake.sources.items import Dropped, Exchange, Item, Passage, Tally

ANSWERS = {
    "completion",
    "response",
    "output",
    "answer",
    "reference",
    "messages",
    "conversations",
    "conversation",
    "chosen",
}
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "jsonl": read_jsonl,
    "json": lambda path: read_json(path, (*FIELDS, *TOPICS)),
    "csv": lambda path: read_csv(path, (*FIELDS, *TOPICS)),
    "table": read_table,
}


def is_row(keys: set[str]) -> bool:
    """Whether keys are those of a row: they name an answer, or are `text` with at most topic, label and the like."""
    return bool(keys & ANSWERS) or ("text" in keys and keys <= {*FIELDS, *TOPICS, "id", "meta"})


def table_header(head: str) -> list[str]:
    """Returns the columns of a table of text that begins with `head`: none if it has only one line or column."""
    lines = head.split("\n")
    if len(lines) < 2:
        return []
    try:
        found = max((next(csv.reader(io.StringIO(lines[0]), delimiter=mark), []) for mark in ",;\t|"), key=len)
    except csv.Error:
        return []
    return [name.strip().strip("\ufeff") for name in found] if len(found) > 1 else []


def read_rows(path: Path, form: str) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a file with rows; `form` is a key of READERS."""

    def read(tally: Tally) -> Iterator[Item]:
        unread = Counter[str]()
        tally.size = path.stat().st_size
        try:
            for where, data in READERS[form](path):
                tally.units += 1
                yield _item(_place(where, path), where, data, unread)
        except InputError as error:
            if not tally.units:
                raise
            tally.units += 1
            yield Dropped("end of file", "damaged", "", str(error))
        tally.position = tally.size
        if unread:
            names = ", ".join(f"{name!r} ({count:,})" for name, count in unread.most_common(8))
            tally.remarks.append(f"fields that are not read: {names}")

    return read


def _place(where: str, path: Path) -> str:
    rest = where.removeprefix(str(path))
    return f"line {rest[1:]}" if rest.startswith(":") else rest.strip()


def _item(place: str, where: str, data: dict[str, Any] | InputError, unread: Counter[str]) -> Item:
    if isinstance(data, InputError):
        return Dropped(place, "damaged", "", _problem(data, where, place))
    data = present(data)
    raw = json.dumps(data, ensure_ascii=False, default=str)
    try:
        topic = topic_name(data.get("topic")) or ""
        output = data.get("output")
        if "chosen" in data or (isinstance(output, list) and len(output) == 2):
            return _pair(place, topic, pair_row(where, data, unread))
        if "reference" in data:
            question = question_row(where, data, unread)
            return _exchange(place, topic, question.messages, question.reference)
        row = sft_row(where, data, unread)
        return _exchange(place, topic, row.messages, row.answer) if row.messages else Passage(row.answer, topic, place)
    except NotTrained as error:
        return Dropped(place, "not trained", raw, _problem(error, where, place))
    except InputError as error:
        return Dropped(place, "damaged", raw, _problem(error, where, place))


def _problem(error: InputError, where: str, place: str) -> str:
    return f"{place}: {str(error).removeprefix(f'{where}: ')}"


def _pair(place: str, topic: str, pair: Pair) -> Exchange:
    """Returns a pair; if its sides go on for several turns, it is the conversation of the chosen one alone."""
    rejected = None if pair.chosen_turns or pair.rejected_turns else pair.rejected
    return _exchange(place, topic, (*pair.messages, *pair.chosen_turns), pair.chosen, rejected)


def _exchange(
    place: str, topic: str, before: tuple[RowMessage, ...], answer: str, rejected: str | None = None
) -> Exchange:
    system = "\n\n".join(message.content for message in before if message.role == "system")
    turns = [
        Turn("assistant" if message.role == "assistant" else "user", message.content)
        for message in before
        if message.role != "system"
    ]
    return Exchange((*turns, Turn("assistant", answer)), place, topic, rejected, system)
