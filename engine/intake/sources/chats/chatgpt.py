"""Reads conversations.json of ChatGPT: what the user wrote is the person's, the assistant is the other."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.intake.sources.chats.fields import text_of, time_of
from engine.intake.sources.items import Dropped, Item, Message, Tally
from engine.intake.sources.json_stream import Damage, JsonStream
from engine.intake.sources.sorting import sort
from engine.intake.sources.streams import text_of as opened_text

PERSON, OTHER = "user", "assistant"


def read_chatgpt(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of an export of ChatGPT, one conversation in memory at a time.

    Of a conversation that was written anew from some place on, the branch that was shown last is read; the other
    branches are left out as written anew by their author.
    """

    def read(tally: Tally) -> Iterator[Item]:
        with opened_text(path, tally) as file:
            stream = JsonStream(file)
            conversations = stream.elements() if stream.peek() == "[" else iter([stream.value()])
            for number, conversation in enumerate(conversations, 1):
                yield from _conversation(f"conversation {number}", conversation, tally)
            if stream.peek():
                tally.units += 1
                damage = stream.rest("text after the end of the list")
                yield Dropped("end of file", "damaged", damage.text, damage.problem)

    return read


def _conversation(place: str, conversation: Any, tally: Tally) -> Iterator[Item]:
    nodes = conversation.get("mapping") if isinstance(conversation, dict) else None
    if not isinstance(nodes, dict):
        tally.units += 1
        damaged = isinstance(conversation, Damage)
        text = conversation.text if damaged else json.dumps(conversation, ensure_ascii=False)
        yield Dropped(place, "damaged", text, f"{place}: {conversation.problem if damaged else 'it has no messages'}")
        return
    thread = f"{conversation.get('title') or 'conversation'} {conversation.get('id') or place}"
    shown = _branch(nodes, conversation.get("current_node"))
    others = [key for key in nodes if key not in set(shown)]
    number = 0
    for key in (*shown, *others):
        node = nodes[key]
        message = node.get("message") if isinstance(node, dict) else None
        if message is None and isinstance(node, dict):
            continue  # the root, which holds nothing
        number += 1
        tally.units += 1
        yield _item(f"{place}, message {number}", message, thread, key in shown)


def _branch(nodes: dict[str, Any], last: Any) -> list[str]:
    """Returns the nodes from the root to the last one."""
    found: list[str] = []
    seen = set[str]()
    if last not in nodes:
        last = next(reversed(nodes), None)
    while isinstance(last, str) and last in nodes and last not in seen and isinstance(nodes[last], dict):
        seen.add(last)
        found.append(last)
        last = nodes[last].get("parent")
    return found[::-1]


def _item(place: str, message: Any, thread: str, shown: bool) -> Item:
    if not isinstance(message, dict):
        return Dropped(place, "damaged", json.dumps(message), f"{place}: found no message")
    author = message.get("author")
    role = author.get("role") if isinstance(author, dict) else author
    content = message.get("content")
    parts = content.get("parts", content.get("text", "")) if isinstance(content, dict) else content
    text = text_of(parts)
    if role not in (PERSON, OTHER) or (
        isinstance(content, dict) and content.get("content_type") not in ("text", "multimodal_text")
    ):
        return Dropped(place, "system", text or json.dumps(content, ensure_ascii=False))
    if not shown:
        return Dropped(place, "deleted", text)
    reason, text = sort(text)
    if reason is not None:
        pictures = isinstance(parts, list) and any(isinstance(part, dict) for part in parts)
        return Dropped(place, "media" if pictures and reason == "empty" else reason, text)
    return Message(str(role), time_of(message.get("create_time")), text, thread, place, role == PERSON)
