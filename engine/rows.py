"""Takes rows of JSONL apart, in every form that is accepted, and names file, line and field in each complaint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.chat import Message
from engine.contract.errors import InputError


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of every line that is not blank."""
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; a curriculum has sft.jsonl, preferences.jsonl and quiz.jsonl"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            data = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not a JSON object ({error})") from error
        if not isinstance(data, dict):
            raise InputError(f"{where}: found {type(data).__name__}, expected a JSON object")
        yield where, data


def conversation(where: str, data: dict[str, Any]) -> tuple[tuple[Message, ...], str]:
    """Accepts `messages`, `prompt`/`completion` and the earlier `instruction`/`input`/`output`."""
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
            raise InputError(f"{where}: input: found {type(more).__name__}, expected text")
        if more.strip():
            question = f"{question}\n\n{more.strip()}"
        return (Message("user", question),), text(where, data, "output")
    raise InputError(
        f"{where}: found the fields {', '.join(sorted(data)) or 'none'}; "
        "expected messages, or prompt and completion, or instruction and output"
    )


def preference(where: str, data: dict[str, Any]) -> tuple[tuple[Message, ...], str, str]:
    """(prompt, chosen, rejected), each a string or a list of messages."""
    prompt = _prompt(where, data, "prompt")
    return prompt, _answer(where, data, "chosen"), _answer(where, data, "rejected")


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
        raise InputError(f"{where}: {name}: found {type(value).__name__}, expected a list of messages")
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise InputError(f"{where}: {name}[{i}]: found {type(item).__name__}, expected a message")
        role = item.get("role")
        if role not in ("system", "user", "assistant"):
            raise InputError(f"{where}: {name}[{i}].role: found {role!r}, expected system, user or assistant")
        messages.append(Message(role, text(f"{where}: {name}[{i}]", item, "content")))
    return tuple(messages)


def text(where: str, data: dict[str, Any], name: str) -> str:
    """A field that must hold text."""
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        found = "nothing" if value is None else "empty text" if isinstance(value, str) else type(value).__name__
        raise InputError(f"{where}: {name}: found {found}, expected text")
    return value.strip()
