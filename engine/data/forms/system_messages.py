"""Places system messages as curriculum.system says, and asks questions with the one that a topic is trained with."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from engine.data.forms.row_types import Pair, Question, SftRow
from engine.data.templates.chat_template import Message

Row = TypeVar("Row", SftRow, Pair, Question)


def placed(row: Row, how: str) -> Row:
    """Returns a row whose system message is kept ("keep"), put before its first question, or left out ("drop")."""
    if isinstance(row, Question):
        *before, asked = _placed(row.messages, how)
        return replace(row, before=tuple(before), question=asked.content)
    return replace(row, messages=_placed(row.messages, how))


def _placed(messages: tuple[Message, ...], how: str) -> tuple[Message, ...]:
    rest = tuple(message for message in messages if message.role != "system")
    if how == "keep" or len(rest) == len(messages):
        return messages
    told = "\n\n".join(message.content for message in messages if message.role == "system")
    if how == "drop" or not rest:
        return rest
    first = rest[0]
    if first.role != "user":
        return (Message("user", told), *rest)
    return (replace(first, content=f"{told}\n\n{first.content}"), *rest[1:])


def system_of(rows: Iterable[SftRow]) -> Message | None:
    """Returns the system message that every training row of a topic begins with; None if they differ or have none."""
    said = {row.messages[0] if row.messages and row.messages[0].role == "system" else None for row in rows}
    return said.pop() if len(said) == 1 else None


def asked_with(questions: Sequence[Question], system: Message | None) -> list[Question]:
    """Returns the questions with this system message, unless a question has messages before it."""
    if system is None:
        return list(questions)
    return [item if item.before else replace(item, before=(system,)) for item in questions]
