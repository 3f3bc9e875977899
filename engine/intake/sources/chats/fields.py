"""Finds author, time and text in the messages of chat programs, under the names that these programs use."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

AUTHORS = (
    "from", "sender_name", "sender", "author", "user_profile", "fromname", "from_name", "sendername", "authorname",
    "display_name", "displayname", "user", "username", "nickname", "nick", "name", "who", "participant", "speaker",
    "absender",
)  # fmt: skip
TEXTS = ("text", "content", "body", "message", "msg", "messagetext", "message_text", "nachricht")
TIMES = (
    "date_unixtime", "timestamp_ms", "sent_at", "timestamp", "ts", "date", "time", "datetime", "created_at",
    "createdat",
    "create_time", "sentat", "sent_time", "datesent", "originalarrivaltime", "zeit", "datum",
)  # fmt: skip
NAMES = ("nickname", "real_name", "display_name", "globalName", "name", "username", "first_name", "title", "id")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def folded(message: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a message with its keys in small letters."""
    return {str(key).casefold().replace(" ", "_"): value for key, value in message.items()}


def is_message(keys: set[str]) -> bool:
    """Whether keys, in small letters, are those of a chat message: an author, a time and a text."""
    return bool(keys & {*AUTHORS}) and bool(keys & {*TEXTS}) and bool(keys & {*TIMES})


def first(message: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Returns the first field that is there and not null."""
    return next((message[name] for name in names if message.get(name) is not None), None)


def name_of(value: Any) -> str:
    """Returns the name of an author: text, or the best name of an object."""
    if isinstance(value, Mapping):
        return next((str(value[key]) for key in NAMES if value.get(key)), "")
    return str(value).strip() if isinstance(value, str | int) else ""


def text_of(value: Any) -> str:
    """Returns the words of a text: text, or a list of texts and marked parts of it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(text_of(part.get("text", "")) if isinstance(part, Mapping) else text_of(part) for part in value)
    return ""


def time_of(value: Any) -> float | None:
    """Returns seconds since 1970: of a number of seconds, milli- or microseconds, or of a date as in ISO 8601."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and DAY.match(value):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    while number > 1e11:
        number /= 1000
    return number if number == number and number > 0 else None
