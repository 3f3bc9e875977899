"""Reads chats in JSON: Telegram, Discord, Slack, Signal, and others whose messages have author, time and text."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.intake.sources.chats.fields import AUTHORS, TEXTS, TIMES, first, folded, name_of, text_of, time_of
from engine.intake.sources.items import Dropped, Item, Message, Reason, Tally
from engine.intake.sources.json_stream import Damage, JsonStream
from engine.intake.sources.sorting import sort
from engine.intake.sources.streams import text_of as opened_text

Names = dict[str, str]  # of Slack's users, by their ids
LISTS = ("messages", "list", "chats", "conversations", "threads", "data", "items", "results", "left_chats")
MEDIA = ("media_type", "photo", "file", "sticker", "stickers", "attachments", "files", "photos", "videos", "gifs",
         "audio_files", "poll", "location_information", "contact_information")  # fmt: skip
PLAIN_TYPES = ("message", "default", "reply", "19", "0", "text", "generic", "incoming", "outgoing", "sms", "")
FORWARDS = ("forwarded_from", "forwarded_from_id", "forwardedmessage", "forward_from", "is_forwarded", "forwarded")
SLACK_MARK = re.compile(r"<(@|#|!|https?:|mailto:)([^<>|]*)(?:\|([^<>]*))?>")
MOJIBAKE = re.compile(r"[\u00c2-\u00f4][\u0080-\u00bf]")


def read_json_chat(path: Path, names: Names | None = None, thread: str = "") -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a JSON file with chats: an export of one or of all, or one JSON object a line."""

    def read(tally: Tally) -> Iterator[Item]:
        with opened_text(path, tally) as file:
            for number, (where, element) in enumerate(_found(JsonStream(file), thread or path.stem), 1):
                tally.units += 1
                yield from _items(f"message {number}", element, where, names or {})

    return read


def _found(stream: JsonStream, thread: str) -> Iterator[tuple[str, Any]]:
    """Yields every message, or Damage, with the name of its chat; walks the lists in which programs keep them."""
    mark = stream.peek()
    if mark == "[":
        for element in stream.elements():
            yield from _inside(element, thread)
        if stream.peek():
            yield thread, stream.rest("text after the end of the list")
    elif mark == "{":
        yield from _object(stream, thread)
        while stream.peek() == "{":  # one object a line
            yield from _object(stream, thread)
        if stream.peek():
            yield thread, stream.rest("text after the end of the object")


def _inside(element: Any, thread: str) -> Iterator[tuple[str, Any]]:
    """Yields the messages of an element of a list: itself, or those that it keeps if it is a chat."""
    held = next(
        (
            element[key]
            for key in ("messages", "Messages", "MessageList")
            if isinstance(element, dict) and isinstance(element.get(key), list)
        ),
        None,
    )
    if held is None:
        yield thread, element
        return
    for message in held:
        yield _title(element, thread), message


def _title(head: dict[str, Any], thread: str) -> str:
    channel = head.get("channel")
    name = (
        channel.get("name")
        if isinstance(channel, dict)
        else head.get("title") or head.get("name") or head.get("displayName")
    )
    number = head.get("id") or head.get("thread_path")
    return " ".join(str(part) for part in (name, number) if part and isinstance(part, str | int)) or thread


def _object(stream: JsonStream, thread: str) -> Iterator[tuple[str, Any]]:
    """Yields the messages of an object: those of a list that it holds, however long, or the object itself."""
    head: dict[str, Any] = {}
    listed = False
    try:
        stream.take("{")
        while stream.peek() != "}":
            if stream.peek() == ",":
                stream.take(",")
            key = stream.value()
            stream.take(":")
            if key in LISTS and stream.peek() == "[":
                for element in stream.elements():
                    if isinstance(element, str | int | float):
                        continue
                    listed = True
                    yield from _inside(element, _title(head, thread))
            elif key in LISTS and stream.peek() == "{":
                for where, element in _object(stream, thread):
                    listed = True
                    yield where, element
            else:
                head[str(key)] = stream.value()
        stream.take("}")
    except ValueError as error:
        damage = stream.rest(str(error))
        if damage.text or not listed:
            yield thread, damage
        return
    if not listed and _is_message(head):
        yield thread, head


def _is_message(head: dict[str, Any]) -> bool:
    return first(folded(head), TEXTS) is not None


def _items(place: str, element: Any, thread: str, names: Names) -> Iterator[Item]:
    if isinstance(element, Damage):
        yield Dropped(place, "damaged", element.text, f"{place}: {element.problem}")
        return
    raw = json.dumps(element, ensure_ascii=False)
    if not isinstance(element, dict):
        yield Dropped(place, "damaged", raw, f"{place}: found {raw[:40]}, expected a message")
        return
    message = folded(element)
    author, address = _author(message, names)
    text = _repaired(
        _unmarked(text_of(first(message, TEXTS)), names) if "ts" in message else text_of(first(message, TEXTS))
    )
    reason = _reason(message, text, author)
    if reason is None:
        reason, text = sort(text)
    if reason is not None:
        media = any(message.get(key) for key in MEDIA)
        yield Dropped(place, "media" if media and reason == "empty" else reason, text or raw)
        return
    for quoted in filter(None, [text_of(message.get("quote"))]):
        yield Dropped(place, "quoted", quoted, part=True)
    yield Message(author, time_of(first(message, TIMES)), text, thread, place, _mine(message, author), address)


def _author(message: dict[str, Any], names: Names) -> tuple[str, str]:
    """Returns the author's name and another name of theirs; both are empty if nobody wrote it."""
    profile = message.get("user_profile")
    value = profile if isinstance(profile, dict) else first(message, AUTHORS)
    user = message.get("user") if isinstance(message.get("user"), str) else ""
    name = names.get(str(user)) or name_of(value)
    address = first(message, ("from_id", "author_id", "authorid", "sender_id", "source", "user"))
    if isinstance(value, dict):
        address = value.get("id") or value.get("name") or address
    return _repaired(name), str(address) if isinstance(address, str | int) and str(address) != name else ""


def _reason(message: dict[str, Any], text: str, author: str) -> Reason | None:
    """Returns why a message is left out by what its fields say; None if they do not say so."""
    kind = str(message.get("type", "")).casefold()
    sub = str(message.get("subtype", "")).casefold()
    if message.get("is_unsent") or message.get("deleted") or sub == "tombstone" or message.get("erased"):
        return "deleted"
    if (
        message.get("call") is True
        or "call" in kind
        or message.get("call_duration") is not None
        or sub == "huddle_thread"
    ):
        return "call"
    bot = message.get("author") if isinstance(message.get("author"), dict) else {}
    if (
        sub in ("bot_message",)
        or message.get("bot_id")
        or (isinstance(bot, dict) and bot.get("isBot"))
        or message.get("via_bot")
    ):
        return "automatic"
    if (sub and sub not in ("file_share", "thread_broadcast", "me_message")) or kind not in PLAIN_TYPES:
        return "system"
    if any(message.get(key) for key in FORWARDS):
        return "forwarded"
    if not author:
        return "system" if text else "empty"
    return None


def _mine(message: dict[str, Any], author: str) -> bool | None:
    """Returns what the message says about whether the person wrote it."""
    for key in ("is_from_me", "isfromme", "from_me", "outgoing", "is_outgoing"):
        if isinstance(message.get(key), bool):
            return bool(message[key])
    if message.get("type") in ("incoming", "outgoing"):
        return bool(message["type"] == "outgoing")
    by_sigexport = {"sender", "body", "reactions"} <= message.keys()
    return author == "Me" if by_sigexport or author == "Me" else None


def _unmarked(text: str, names: Names) -> str:
    """Returns a text of Slack with names and links instead of their marks."""

    def shown(mark: Any) -> str:
        sign, target, label = mark[1], mark[2], mark[3]
        if label:
            return ("#" if sign == "#" else "@" if sign == "@" else "") + str(label)
        return f"@{names.get(target, target)}" if sign in "@!" else sign + target if ":" in sign else f"#{target}"

    return SLACK_MARK.sub(shown, text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _repaired(text: str) -> str:
    """Returns a text whose UTF-8 was taken for Latin-1, as in the exports of Facebook and Instagram, put right."""
    if not MOJIBAKE.search(text):
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
