"""Parses rows in every accepted form; each error message names the place and the field."""

from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.yaml_file import kind
from engine.contract.wording import short
from engine.data.forms.fields import NOT_TRAINED, decoded, optional_text, require_whole, text, truth
from engine.data.forms.messages import ROLES, Unread, hh_messages, messages_of
from engine.data.forms.row_types import NotTrained, Question, SftRow
from engine.data.forms.template_marks import require_plain
from engine.data.templates.chat_template import Message

CHATS = ("messages", "conversations", "conversation")
PROMPTS = ("prompt", "instruction", "question", "query", "input")
ANSWERS = {"completion": "prompt", "response": "prompt", "output": "instruction", "answer": "question"}
MORE = ("input", "context")  # text that belongs to an instruction
LABELS = ("label", "kto_tag")  # KTO's marks: false is an answer that a person rejected
NOTES = ("made", "origin")  # what `mindprint-tui new` notes about a row: which texts a model wrote, where it was read
ALWAYS = ("topic", "source", "system", *NOT_TRAINED, *NOTES)  # fields that every form of row may have


def sft_row(where: str, data: dict[str, Any], unread: Unread) -> SftRow:
    """Parses a training row and counts the fields that are not read.

    Raises InputError that names the field, and NotTrained if the row says that it is not to be trained on.
    """
    _require_trained(where, data)
    messages, answer, used = conversation(where, data, unread)
    count_unread(data, used, unread)
    return SftRow(with_system(where, data, messages), answer, where)


def question_row(where: str, data: dict[str, Any], unread: Unread) -> Question:
    """Parses a held-out question: with `reference`, or in any form of a training row whose answer is the reference.

    Raises InputError that names the field.
    """
    concepts = _concepts(where, data)
    if "reference" in data or not any(name in data for name in (*CHATS, *ANSWERS)):
        name = next((name for name in PROMPTS if name in data), "question")
        asked, reference = (Message("user", text(where, data, name)),), text(where, data, "reference")
        used: set[str] = {name, "reference"}
        require_plain(where, asked)
    else:
        asked, reference, used = conversation(where, data, unread)  # type: ignore[assignment]  # of any length
    count_unread(data, used | {"concepts"}, unread)
    before = with_system(where, data, asked)[:-1]
    return Question(asked[-1].content, reference, concepts, where, before)


def _concepts(where: str, data: dict[str, Any]) -> tuple[str, ...]:
    concepts = decoded(where, "concepts", data.get("concepts", []))
    if isinstance(concepts, str):  # a cell of a CSV file
        concepts = [item.strip() for item in concepts.split(",")]
    if not isinstance(concepts, list) or not all(isinstance(item, str) and item.strip() for item in concepts):
        raise InputError(f"{where}: concepts: found {short(concepts)}, expected a list of words")
    for concept in concepts:
        require_whole(f"{where}: concepts", concept)
    return tuple(concepts)


def count_unread(data: dict[str, Any], used: set[str], unread: Unread) -> None:
    """Counts the fields of a row that were not used."""
    unread.update(name for name in data if name not in used and name not in ALWAYS)


def _require_trained(where: str, data: dict[str, Any]) -> None:
    """Raises NotTrained if a mark of the row is false: KTO's label, or a weight of 0."""
    labels = LABELS if "text" not in data else ()  # in a row with plain text, a label is the class of a classifier
    for name in (*labels, *NOT_TRAINED):
        if name in data and not truth(where, name, data[name]):
            raise NotTrained(f"{where}: {name} is {short(data[name])}, so it is not trained on")


def conversation(where: str, data: dict[str, Any], unread: Unread) -> tuple[tuple[Message, ...], str, set[str]]:
    """Returns the messages before the last answer, that answer, and the fields that were used.

    Turns after the last answer to train on are left out: nothing of them is learned. Plain text has no messages.
    """
    answer = next((name for name in ANSWERS if name in data), "")
    if chat := next((name for name in CHATS if name in data), ""):
        messages, used = messages_of(where, chat, data[chat], unread), {chat}
    elif answer:
        messages, used = prompt_of(where, data, ANSWERS[answer], unread)
        messages, used = (*messages, *answer_of(where, answer, data, unread)), used | {answer, *LABELS}
    elif "text" in data:
        return (), text(where, data, "text"), {"text"}
    else:
        raise InputError(
            f"{where}: found the fields {', '.join(sorted(map(str, data)))[:200] or 'none'}; expected messages, or "
            "prompt and completion, or instruction and output, or question and answer, or text"
        )
    name = chat or answer
    last = max((i for i, message in enumerate(messages) if message.role == "assistant" and message.trained), default=-1)
    if last < 0 and any(not message.trained for message in messages):
        raise NotTrained(f"{where}: {name}: every answer is marked not to be trained on")
    if last < 1 or messages[last - 1].role != "user":
        raise InputError(f"{where}: {name}: expected to end with an assistant's answer to a user")
    require_plain(where, messages[:last])
    return messages[:last], messages[last].content, used


def prompt_of(
    where: str, data: dict[str, Any], usual: str, unread: Unread, chats: tuple[str, ...] = ()
) -> tuple[tuple[Message, ...], set[str]]:
    """Returns the messages of a row's prompt, and the fields that were used.

    The prompt is the first field of PROMPTS or `chats` that the row has; `usual` is the one that an error names if it
    has none. It may be text, messages, or text as Anthropic's HH data have it.
    """
    name = next((name for name in (*PROMPTS[:-1], *chats, PROMPTS[-1]) if name in data), usual)
    value = chat_value(data.get(name))
    if isinstance(value, list | dict):
        messages = messages_of(where, name, value, unread)
        if not messages or messages[-1].role != "user":
            raise InputError(f"{where}: {name}: expected to end with a user's message")
        return messages, {name}
    if turns := hh_messages(value):
        return turns, {name}
    asked, used = _question(where, data, name)
    earlier = _history(where, data.get("history"))
    return (*earlier, Message("user", asked)), used | {"history"}


def _question(where: str, data: dict[str, Any], name: str) -> tuple[str, set[str]]:
    """Returns the text of a prompt, with the `input` or `context` of an instruction below it."""
    if name != "instruction":
        return text(where, data, name), {name}
    parts, empty = [], not str(data.get(name)).strip() and any(optional_text(where, data, more) for more in MORE)
    if not empty:
        parts.append(text(where, data, name))
    for more in MORE:
        if data.get(more) is not None and not isinstance(data[more], str):
            raise InputError(f"{where}: {more}: found {kind(data[more])}, expected text")
        parts += filter(None, [optional_text(where, data, more)])
    return "\n\n".join(parts), {name, *MORE}


def _history(where: str, value: Any) -> list[Message]:
    """Returns the earlier turns of an instruction, as LLaMA-Factory writes them: a list of [question, answer]."""
    value, found = decoded(where, "history", value) or [], []
    if not isinstance(value, list):
        raise InputError(f"{where}: history: found {kind(value)}, expected a list of [question, answer]")
    for i, item in enumerate(value):
        turns = dict(zip(("question", "answer"), item, strict=False)) if isinstance(item, list) else {}
        place = f"{where}: history[{i}]"
        found += [
            Message("user", text(place, turns, "question")),
            Message("assistant", text(place, turns, "answer")),
        ]
    return found


def chat_value(value: Any) -> Any:
    """Returns a value that is messages as JSON text as those messages; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        found = decoded("", "", value)
    except InputError:
        return value  # an answer may begin with a bracket
    items = found if isinstance(found, list) else [found]
    chat = bool(items) and all(isinstance(item, dict) and (item.get("role") or item.get("from")) for item in items)
    return found if chat else value


def answer_of(where: str, name: str, data: dict[str, Any], unread: Unread) -> tuple[Message, ...]:
    """Returns the messages of an answer: text, one assistant message, or several turns that begin and end with one."""
    value = chat_value(data.get(name))
    if not isinstance(value, list | dict):
        return (Message("assistant", text(where, data, name)),)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        raise InputError(f"{where}: {name}: found a list of texts, expected one answer; a pair has two")
    messages = messages_of(where, name, value, unread)
    if not messages or {messages[0].role, messages[-1].role} != {ROLES["assistant"]}:
        raise InputError(f"{where}: {name}: expected one assistant message, or turns that begin and end with one")
    return messages


def with_system(where: str, data: dict[str, Any], messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Returns the conversation with the row's `system` field, if any, as its first message."""
    system = optional_text(where, data, "system")
    if not system:
        return messages
    if not messages:
        raise InputError(f"{where}: system: plain text is trained on unchanged and cannot have a system message")
    if any(message.role == "system" for message in messages):
        raise InputError(f"{where}: system: the row's messages already have a system message")
    return (Message("system", system), *messages)
