"""Parses rows in every accepted form; each error message names the place and the field."""

from dataclasses import dataclass
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.yaml_file import kind
from engine.contract.wording import short
from engine.data.chat_template import Message

MAX_TEXT = 8 << 20  # characters of a field


@dataclass(frozen=True, slots=True)
class SftRow:
    """A conversation and the answer to train on; `where` is file:line. A row of plain text has no messages."""

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
    """A held-out question with its reference answer and the concepts that an answer should mention."""

    question: str
    reference: str
    concepts: tuple[str, ...]
    where: str


def sft_row(where: str, data: dict[str, Any]) -> SftRow:
    """Parses a training row; raises InputError that names the field."""
    messages, answer = _conversation(where, data)
    return SftRow(_with_system(where, data, messages), answer, where)


def pair_row(where: str, data: dict[str, Any]) -> Pair:
    """Parses a pair of answers to one prompt; raises InputError that names the field."""
    heldout = data.get("heldout")
    if heldout is not None and not isinstance(heldout, bool):
        raise InputError(f"{where}: heldout: found {short(heldout)}, expected true or false")
    prompt, chosen, rejected = _preference(where, data)
    if chosen == rejected:
        raise InputError(f"{where}: rejected: the same text as chosen")
    return Pair(_with_system(where, data, prompt), chosen, rejected, heldout, where)


def question_row(where: str, data: dict[str, Any]) -> Question:
    """Parses a held-out question; raises InputError that names the field."""
    concepts = data.get("concepts", [])
    if not isinstance(concepts, list) or not all(isinstance(item, str) and item.strip() for item in concepts):
        raise InputError(f"{where}: concepts: found {short(concepts)}, expected a list of words")
    for concept in concepts:
        require_whole(f"{where}: concepts", concept)
    if _system(where, data):
        raise InputError(f"{where}: system: questions are asked without a system message")
    return Question(text(where, data, "question"), text(where, data, "reference"), tuple(concepts), where)


def _conversation(where: str, data: dict[str, Any]) -> tuple[tuple[Message, ...], str]:
    """Returns the messages and the answer of a row.

    Accepts `messages`, `prompt`/`completion`, the earlier system's two forms (`instruction`/`output` and
    `question`/`answer`), or plain `text`, which has no prompt.
    """
    if "messages" in data:
        messages = _messages(where, data, "messages")
        if [message.role for message in messages[-2:]] != ["user", "assistant"]:
            raise InputError(f"{where}: messages: expected to end with an assistant's answer to a user")
        return messages[:-1], messages[-1].content
    if "completion" in data:
        return _prompt(where, data, "prompt"), _answer(where, data, "completion")
    if "output" in data:
        question, more = text(where, data, "instruction"), data.get("input") or ""
        if not isinstance(more, str):
            raise InputError(f"{where}: input: found {kind(more)}, expected text")
        if more.strip():
            question = f"{question}\n\n{text(where, data, 'input')}"
        return (Message("user", question),), text(where, data, "output")
    if "answer" in data:
        return (Message("user", text(where, data, "question")),), text(where, data, "answer")
    if "text" in data:
        return (), text(where, data, "text")
    raise InputError(
        f"{where}: found the fields {', '.join(sorted(map(str, data)))[:200] or 'none'}; expected messages, or prompt "
        "and completion, or instruction and output, or question and answer, or text"
    )


def _preference(where: str, data: dict[str, Any]) -> tuple[tuple[Message, ...], str, str]:
    """Returns (prompt, chosen, rejected).

    Each field may be text or messages. If chosen and rejected are whole conversations, they include the prompt.
    """
    a, b = data.get("chosen"), data.get("rejected")
    whole = isinstance(a, list) and isinstance(b, list) and ("prompt" not in data or min(len(a), len(b)) > 1)
    if not whole:
        prompt = _prompt(where, data, "prompt")
        return prompt, _answer(where, data, "chosen"), _answer(where, data, "rejected")
    chosen, rejected = _messages(where, data, "chosen"), _messages(where, data, "rejected")
    if [(m.role, m.content) for m in chosen[:-1]] != [(m.role, m.content) for m in rejected[:-1]]:
        raise InputError(
            f"{where}: chosen and rejected differ before their last messages; expected one prompt in common"
        )
    prompt = chosen[:-1]
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        if [message.role for message in messages[-2:]] != ["user", "assistant"]:
            raise InputError(f"{where}: {name}: expected to end with an assistant's answer to a user")
    if "prompt" in data and (given := _prompt(where, data, "prompt")) not in (prompt, prompt[-1:]):
        raise InputError(f"{where}: prompt: found {given[-1].content[:60]!r}, and chosen begins with something else")
    return prompt, chosen[-1].content, rejected[-1].content


def _system(where: str, data: dict[str, Any]) -> str:
    """Returns the text of a row's `system` field; an empty string if the field is absent or empty."""
    value = data.get("system")
    return "" if value is None or (isinstance(value, str) and not value.strip()) else text(where, data, "system")


def _with_system(where: str, data: dict[str, Any], messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Returns the conversation with the row's `system` field, if any, as its first message."""
    system = _system(where, data)
    if not system:
        return messages
    if not messages:
        raise InputError(f"{where}: system: plain text is trained on as it stands, and has no system message")
    if any(message.role == "system" for message in messages):
        raise InputError(f"{where}: system: the row's messages have a system message of their own")
    return (Message("system", system), *messages)


def _prompt(where: str, data: dict[str, Any], name: str) -> tuple[Message, ...]:
    if isinstance(data.get(name), list):
        messages = _messages(where, data, name)
        if messages[-1].role != "user":
            raise InputError(f"{where}: {name}: expected to end with a user's message")
        return messages
    return (Message("user", text(where, data, name)),)


def _answer(where: str, data: dict[str, Any], name: str) -> str:
    if isinstance(data.get(name), list):
        messages = _messages(where, data, name)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise InputError(f"{where}: {name}: expected one assistant message")
        return messages[0].content
    return text(where, data, name)


def _messages(where: str, data: dict[str, Any], name: str) -> tuple[Message, ...]:
    value, messages = data[name], []
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: {name}: found {kind(value)}, expected a list of messages")
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise InputError(f"{where}: {name}[{i}]: found {kind(item)}, expected a message")
        role = item.get("role")
        if role not in ("system", "user", "assistant"):
            raise InputError(f"{where}: {name}[{i}].role: found {short(role)}, expected system, user or assistant")
        messages.append(Message(role, text(f"{where}: {name}[{i}]", item, "content")))
    return tuple(messages)


def text(where: str, data: dict[str, Any], name: str) -> str:
    """Returns the text of a field, stripped; raises InputError if it is not text, is empty or is too long."""
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        found = "empty text" if isinstance(value, str) else kind(value)
        raise InputError(f"{where}: {name}: found {found}, expected text")
    if len(value) > MAX_TEXT:
        raise InputError(f"{where}: {name}: found {len(value):,} characters, expected {MAX_TEXT:,} at most")
    require_whole(f"{where}: {name}", value)
    return value.strip()


def require_whole(field: str, value: str) -> None:
    """Raises InputError for half of a surrogate pair.

    JSON allows one, but it can neither be tokenized nor written to a file.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half, place = ascii(value[error.start]), error.start + 1
        raise InputError(f"{field}: character {place} is half of one ({half}), as of an emoji cut in two") from error
