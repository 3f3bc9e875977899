"""Tells what a file is by its first bytes: which kind it is taken for, and its reader."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.intake.sources.chats.chatgpt import read_chatgpt
from engine.intake.sources.chats.fields import folded, is_message
from engine.intake.sources.chats.imessage import read_imessage
from engine.intake.sources.chats.json_chats import read_json_chat
from engine.intake.sources.chats.line_chats import read_lines
from engine.intake.sources.chats.shapes import SHAPES, is_imessage, shape_of
from engine.intake.sources.chats.table_chats import read_table_chat
from engine.intake.sources.documents.html import read_html
from engine.intake.sources.documents.office import read_docx, read_odt
from engine.intake.sources.documents.pdf import read_pdf
from engine.intake.sources.documents.texts import read_markdown, read_text
from engine.intake.sources.items import Item, Tally
from engine.intake.sources.json_stream import JsonStream
from engine.intake.sources.mail.mails import BEGIN, read_mail, read_mbox
from engine.intake.sources.rows import is_row, read_rows, table_header
from engine.intake.sources.streams import decoded, head_of

HEAD = 1 << 16  # bytes that are looked at
SAMPLE = 400  # lines that are looked at
Known = tuple[str, Callable[[Tally], Iterator[Item]]]  # a kind, and a reader

MAIL_HEADERS = re.compile(rb"(?:[A-Za-z][\w-]*:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*)+", re.I)
FROM, OTHER = (
    re.compile(rb"^From:", re.I | re.M),
    re.compile(rb"^(?:Date|Message-ID|Received|MIME-Version|Subject):", re.I | re.M),
)
HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*"
    r"<(?:!doctype html|html|head|body|div|p|article|section|main|h[1-6]|table|ul)\b",
    re.I | re.S,
)
MARKDOWN = re.compile(
    r"\A(?:---|\+\+\+)\s*\n|^#{1,6}\s\S|^(?:```|~~~)|\[[^\]\n]+\]\([^)\n]+\)|^\s{0,3}[*+-]\s\S|\*\*\S|^>\s|\[\[[^\]\n]+\]\]",
    re.M,
)
NOT_TEXT = (
    (b"\xd0\xcf\x11\xe0", "it is a document of an old Word, Excel or Outlook; save it as DOCX or as a mail (.eml)"),
    (b"{\\rtf", "it is RTF; save it as DOCX or as text"),
    (b"SQLite format 3", "it is a database; export the chats from the program that wrote it"),
    (b"Rar!", "it is a RAR archive; unpack it first"),
    (b"7z\xbc\xaf", "it is a 7z archive; unpack it first"),
    (b"BZh", "it is packed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "it is packed with xz; unpack it first"),
)
TELEGRAM = {"from_id", "date_unixtime", "text_entities", "actor_id"}


class Unreadable(InputError):
    """A file of a kind that is not read."""


def recognize(path: Path) -> Known:
    """Returns what a file is taken for, and its reader. Raises InputError that says why it is not read."""
    head = head_of(path, HEAD)
    if not head.strip():
        raise Unreadable(f"{path}: it is empty")
    if head.startswith(b"PAR1"):
        return "rows in Parquet", read_rows(path, "table")
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "rows in Arrow", read_rows(path, "table")
    if b"%PDF-" in head[:1024]:
        return "PDF", read_pdf(path)
    if head.startswith(b"PK\x03\x04"):
        if b"application/vnd.oasis.opendocument.text" in head[:200]:
            return "OpenDocument text", read_odt(path)
        return "Word document", read_docx(path)
    for mark, why in NOT_TEXT:
        if head.startswith(mark):
            raise Unreadable(f"{path}: {why}")
    if b"\0" in head or _controls(head) > 0.02:
        raise Unreadable(f"{path}: it is not a text, or of a kind that is not read")
    if BEGIN.match(head) and FROM.search(head):
        return "mailbox", read_mbox(path)
    if (found := MAIL_HEADERS.match(head)) and FROM.search(found[0]) and OTHER.search(found[0]):
        return "mail", read_mail(path)
    return _text(path, decoded(head[: head.rfind(b"\n") + 1] if len(head) == HEAD and b"\n" in head else head))


def _controls(head: bytes) -> float:
    return sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head) / len(head)


def _text(path: Path, head: str) -> Known:
    if head.lstrip()[:1] in ("{", "[") and (found := _json(path, head)):
        return found
    if HTML.match(head):
        return "HTML page", read_html(path)
    lines = head.split("\n")[:SAMPLE]
    if is_imessage(lines):
        return "iMessage chat", read_imessage(path)
    if shape := shape_of(lines):
        signal = shape is SHAPES[0] and re.match(r"\s*\[\d{4}-\d\d-\d\d[ T,]", head) is not None
        whatsapp = shape.name in ("[date, time] name: text", "date, time - name: text")
        kind = "Signal chat" if signal else "WhatsApp chat" if whatsapp else "chat"
        return kind, read_lines(path, shape, signal)
    if header := table_header(head):
        if is_row({*header}):
            return "table of rows", read_rows(path, "csv")
        if is_message({*folded(dict.fromkeys(header))}):
            return "table of messages", read_table_chat(path)
    if MARKDOWN.search(head):
        return "Markdown", read_markdown(path)
    return "text", read_text(path)


def _json(path: Path, head: str) -> Known | None:
    """Returns what a JSON file is by the keys of its first object, or of the first element of its list."""
    first = _first_object(head)
    if first is None:
        return None
    keys, whole = {*folded(first)}, head.lstrip()[:1] == "{"
    several = whole and _lines_of_objects(head)
    if "mapping" in keys and ("create_time" in keys or "current_node" in keys or "title" in keys):
        return "ChatGPT export", read_chatgpt(path)
    if '"mapping"' in head and '"current_node"' in head and not whole:
        return "ChatGPT export", read_chatgpt(path)
    inner = {str(key).casefold() for element in _inner(first) for key in element}
    if (keys & {"guild", "channel"} and "messages" in keys) or '"messageCount"' in head:
        return "Discord export", read_json_chat(path)
    if TELEGRAM & (keys | inner) or re.search(r'"(?:date_unixtime|from_id|actor_id)"\s*:', head):
        return "Telegram export", read_json_chat(path)
    if (
        {"sent_at", "sender", "body"} <= keys
        or {"date", "sender", "body"} <= keys
        or {"conversationid", "body"} <= keys
    ):
        return "Signal export", read_json_chat(path)
    if {"ts", "type"} <= keys:
        return "Slack channel", read_json_chat(path)
    if is_message(inner) or (is_message(keys) and not is_row(keys - {"text"})):
        return "chat in JSON", read_json_chat(path)
    if is_row(keys):
        return "rows", read_rows(
            path, "jsonl" if several or (whole and "\n" in head.strip() and not _one(head)) else "json"
        )
    if whole and re.search(r'"(?:sender_name|messages)"\s*:\s*[\[{"]', head):
        return "chat in JSON", read_json_chat(path)
    return "rows", read_rows(path, "jsonl" if several else "json")


def _one(head: str) -> bool:
    """Whether a text that begins with a brace is one object over several lines."""
    return not head.lstrip().split("\n")[0].rstrip().endswith("}")


def _lines_of_objects(head: str) -> bool:
    """Whether a text has one JSON object on each line."""
    lines = [line for line in head.split("\n") if line.strip()]
    return len(lines) > 1 and sum(line.lstrip().startswith("{") for line in lines) > 0.5 * len(lines) and not _one(head)


def _first_object(head: str) -> dict[str, Any] | None:
    """Returns the first object of a JSON text, as far as it is there: the values of a cut object are left out."""
    stream = JsonStream(io.StringIO(head))
    found: dict[str, Any] = {}
    try:
        if stream.peek() == "[":
            stream.take("[")
        if stream.peek() != "{":
            return None
        stream.take("{")
        while stream.peek() != "}":
            if stream.peek() == ",":
                stream.take(",")
            key = stream.value()
            if not isinstance(key, str):
                return None
            found[key] = None
            stream.take(":")
            found[key] = stream.value()
    except ValueError:
        pass
    return found or None


def _inner(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the first elements of the lists in an object."""
    for value in first.values():
        if isinstance(value, list):
            yield from (element for element in value[:5] if isinstance(element, dict))
