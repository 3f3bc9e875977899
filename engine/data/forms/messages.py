"""Parses conversations: messages with roles, ShareGPT's `from` and `value`, parts of text, and Anthropic's HH text."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.yaml_file import kind
from engine.contract.wording import short
from engine.data.forms.fields import NOT_TRAINED, decoded, require_whole, text, truth
from engine.data.templates.chat_template import Message

ROLES = {  # as programs write them -> as a chat template knows them
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
}
TOOLS = ("tool", "function", "function_call", "observation", "tool_call", "tool_response", "ipython")
CALLS = ("tool_calls", "function_call")
READ = ("role", "from", "content", "value", *NOT_TRAINED)  # keys of a message that are read
HH = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")

Unread = Counter[str]  # fields that are not read, with the number of rows or messages that have them


def messages_of(where: str, name: str, value: Any, unread: Unread) -> tuple[Message, ...]:
    """Parses the messages of a field: a list, one message alone, or either as JSON text.

    Two messages of one role in a row become one, with an empty line between. Empty system messages are left out.
    Raises InputError that names the message and the field.
    """
    value = decoded(where, name, value)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: {name}: found {kind(value)}, expected a list of messages")
    found: list[Message] = []
    for i, item in enumerate(value):
        message = _message(f"{where}: {name}[{i}]", item, unread)
        if message is None:
            continue
        if found and found[-1].role == message.role:
            if found[-1].trained != message.trained:
                raise InputError(f"{where}: {name}[{i}]: an answer to train on and one not to, with no turn between")
            found[-1] = replace(message, content=f"{found[-1].content}\n\n{message.content}")
            continue
        found.append(message)
    return tuple(found)


def _message(where: str, item: Any, unread: Unread) -> Message | None:
    """Parses one message; None for an empty system message."""
    if not isinstance(item, dict):
        raise InputError(f"{where}: found {kind(item)}, expected a message")
    data = {key: value for key, value in item.items() if value is not None}
    sharegpt = "role" not in data and "from" in data
    field, body = ("from", "value") if sharegpt else ("role", "content")
    said = data.get(field)
    role = ROLES.get(said.strip().casefold()) if isinstance(said, str) else None
    if (isinstance(said, str) and said.strip().casefold() in TOOLS) or any(data.get(key) for key in CALLS):
        raise InputError(f"{where}: a call of a tool; conversations with tools are not trained on")
    if role is None:
        raise InputError(f"{where}.{field}: found {short(said)}, expected system, user or assistant")
    unread.update(f"{field} of a message" for field in data if field not in READ and field not in CALLS)
    data[body] = _content(f"{where}: {body}", data.get(body))
    if role == "system" and data[body] == "":
        return None
    marks = [truth(where, mark, data[mark]) for mark in NOT_TRAINED if mark in data]
    return Message(role, text(where, data, body), all(marks) or role != "assistant")


def _content(where: str, value: Any) -> Any:
    """Joins a list of text parts; other values are returned as they are. Raises InputError for a part without text."""
    if isinstance(value, str):
        return value if value.strip() else ""
    if not isinstance(value, list) or not value:
        return value
    parts = []
    for i, part in enumerate(value):
        found = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else part
        if not isinstance(found, str):
            what = f"a part of the type {short(part.get('type'))}" if isinstance(part, dict) else kind(part)
            raise InputError(f"{where}[{i}]: found {what}; only text is trained on")
        require_whole(f"{where}[{i}]", found)
        parts.append(found)
    return "".join(parts)


def hh_messages(value: Any) -> tuple[Message, ...]:
    """Returns the turns of a text in the form of Anthropic's HH data (Human: …, Assistant: …); else nothing."""
    if not isinstance(value, str) or not value.lstrip().startswith("Human:") or "\n\nAssistant:" not in value:
        return ()
    pieces = HH.split("\n\n" + value.strip())[1:]
    turns = [(pieces[i], pieces[i + 1].strip()) for i in range(0, len(pieces), 2)]
    if turns and not turns[-1][1]:
        turns.pop()  # the text ends where the answer begins
    if not all(content for _, content in turns):
        return ()
    return tuple(Message("user" if who == "Human" else "assistant", content) for who, content in turns)
