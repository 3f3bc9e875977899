"""Reads mails: mbox files, Maildir folders and single messages, one mail in memory at a time."""

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header
from email.message import Message as Mail
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path

from engine.contract.errors import InputError
from engine.intake.sources.documents.html import text_of_html
from engine.intake.sources.items import Dropped, Item, Message, Reason, Tally
from engine.intake.sources.mail.body import parts_of
from engine.intake.sources.sorting import LINK
from engine.intake.sources.streams import decoded, opened

MAX_MAIL = 64 << 20  # bytes of a mail; the rest of it, an attachment, is not read
MAX_TEXT = 1 << 20  # characters of a mail's text
BEGIN = re.compile(rb"From (?:\S+ .*\d\d:\d\d|- |\S+@\S+)")
ROBOT = re.compile(
    r"\b(?:no-?reply|do-?not-?reply|mailer-daemon|postmaster|bounces?|notifications?|newsletter)\b", re.I
)
FORWARD = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|i|doorst|vs|пересл)\s*:", re.I)
ID = re.compile(r"<[^<>\s]+>")
Read = Callable[[Tally], Iterator[Item]]


def read_mbox(path: Path) -> Read:
    """Returns a reader of an mbox file."""

    def read(tally: Tally) -> Iterator[Item]:
        threads: dict[str, str] = {}
        with opened(path, tally) as file:
            kept: list[bytes] = []
            size = number = 0
            blank = True
            for line in iter(lambda: file.readline(1 << 20), b""):
                if blank and BEGIN.match(line):
                    if kept:
                        number += 1
                        yield from _items(f"mail {number}", b"".join(kept), threads, tally)
                    kept, size = [], 0
                elif size <= MAX_MAIL:
                    kept.append(line[1:] if re.match(rb">+From ", line) else line)
                    size += len(line)
                blank = not line.strip()
            if kept:
                yield from _items(f"mail {number + 1}", b"".join(kept), threads, tally)

    return read


def read_mail(path: Path) -> Read:
    """Returns a reader of a single mail."""

    def read(tally: Tally) -> Iterator[Item]:
        with opened(path, tally) as file:
            yield from _items("mail 1", file.read(MAX_MAIL), {}, tally)

    return read


def is_maildir(folder: Path) -> bool:
    """Whether a folder is a Maildir."""
    return (folder / "cur").is_dir() and (folder / "new").is_dir()


def read_maildir(folder: Path) -> Read:
    """Returns a reader of a Maildir folder, in the order of the names of its files, which begin with a time."""

    def read(tally: Tally) -> Iterator[Item]:
        threads: dict[str, str] = {}
        found = [path for name in ("cur", "new") for path in (folder / name).iterdir()]
        for at, path in enumerate(sorted(found, key=lambda one: one.name), 1):
            if path.is_symlink():
                tally.units += 1
                yield Dropped(path.name, "damaged", "", f"{path.name}: it is a symbolic link")
                continue
            try:
                with opened(path, Tally()) as file:
                    data = file.read(MAX_MAIL)
            except InputError as error:
                tally.units += 1
                yield Dropped(path.name, "damaged", "", str(error))
                continue
            yield from _items(path.name.partition(":")[0], data, threads, tally)
            tally.position, tally.size = at, len(found)

    return read


def _items(place: str, data: bytes, threads: dict[str, str], tally: Tally) -> Iterator[Item]:
    tally.units += 1
    mail = email.message_from_bytes(data, policy=email.policy.compat32)
    if not mail.keys() or (mail["From"] is None and mail["Date"] is None):
        yield Dropped(place, "damaged", decoded(data[:MAX_TEXT]), f"{place}: it has no header From")
        return
    subject = _header(mail, "Subject")
    name, address = parseaddr(_header(mail, "From"))
    thread = _thread(mail, place, threads)
    text, attachments = _text(mail)
    for file in attachments:
        yield Dropped(place, "media", file, part=True)
    if reason := _automatic(mail, address):
        yield Dropped(place, reason, f"{subject}\n\n{text}".strip())
        return
    own: list[str] = []
    forwards = bool(FORWARD.match(subject))
    others: list[tuple[Reason, str]] = []
    for part in parts_of(text):
        if part.reason is None:
            own.append(part.text)
        else:
            others.append(("forwarded" if forwards and part.reason == "quoted" else part.reason, part.text))
    said = "\n\n".join(own)
    if not said or not LINK.sub("", said).strip(" \n<>.,-"):
        why: Reason = "link alone" if said else others[0][0] if others else "media" if attachments else "empty"
        yield Dropped(place, why, text or subject)
        return
    for reason, quoted in others:
        yield Dropped(place, reason, quoted, part=True)
    mine = True if re.search(r"\bSent\b", _header(mail, "X-Gmail-Labels")) else None
    yield Message(name or address, _time(mail), said, thread, place, mine, address)


def _header(mail: Mail, name: str) -> str:
    value = mail.get(name)
    if value is None:
        return ""
    try:
        return str(make_header(decode_header(str(value)))).replace("\n", " ").strip()
    except (ValueError, LookupError):  # an unknown charset, or damaged base64
        return str(value).strip()


def _thread(mail: Mail, place: str, threads: dict[str, str]) -> str:
    """Returns the id of the mail that a conversation began with. `threads` has it for each mail that was read."""
    own = (ID.findall(str(mail.get("Message-ID", ""))) or [place])[0]
    before = [*ID.findall(str(mail.get("References", ""))), *ID.findall(str(mail.get("In-Reply-To", "")))]
    first = next((threads[one] for one in before if one in threads), before[0] if before else own)
    threads[own] = first
    return first


def _time(mail: Mail) -> float | None:
    try:
        return parsedate_to_datetime(str(mail.get("Date", ""))).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _automatic(mail: Mail, address: str) -> Reason | None:
    submitted = str(mail.get("Auto-Submitted", "no")).strip().casefold()
    letter = mail.get("List-Unsubscribe") is not None and mail.get("List-Post") is None
    report = mail.get_content_type() == "multipart/report"
    robot = ROBOT.search(address.partition("@")[0])
    return "automatic" if submitted != "no" or letter or report or robot else None


def _text(mail: Mail) -> tuple[str, list[str]]:
    """Returns the text of a mail, and the names of its attachments. HTML is read if there is no plain text."""
    plain: list[str] = []
    pages: list[str] = []
    files: list[str] = []
    for part in mail.walk():
        if part.is_multipart():
            continue
        kind, file = part.get_content_type(), part.get_filename()
        if file or part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
            files.append(file or kind)
        elif kind == "text/plain":
            plain.append(_flowed(part, _content(part)))
        else:
            pages.append(text_of_html(_content(part)))
    text = "\n".join(plain) if any(one.strip() for one in plain) else "\n".join(pages)
    return text[:MAX_TEXT].replace("\r\n", "\n"), files


def _content(part: Mail) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = part.get_content_charset()
    if charset and charset not in ("us-ascii", "unknown-8bit"):
        try:
            return data.decode(charset)
        except (LookupError, UnicodeDecodeError):
            pass
    return decoded(data)


def _flowed(part: Mail, text: str) -> str:
    """Returns a text of format=flowed with its lines joined: a line that ends with a space goes on below."""
    if str(part.get_param("format", "")).casefold() != "flowed":
        return text
    out: list[str] = []
    joins = False
    for line in text.replace("\r\n", "\n").split("\n"):
        if joins and not line.startswith((">", "-- ")):
            out[-1] += line.removeprefix(" ")
        else:
            out.append(line)
        joins = out[-1].endswith(" ") and line != "-- " and not line.startswith(">")
    return "\n".join(out)
