"""Exports of one invented conversation and of invented posts in every format that people have, from one seed.

Each function writes a file or folder and returns its path. `TALK` has 40 messages of two people, and what a program
adds to them; every export holds all of it that its format can hold.
"""

import io
import json
import random
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ME, OTHER = "Ida Holm", "Bo"
START = datetime(2023, 2, 1, 9, 5, tzinfo=UTC)
RANDOM = random.Random(18)
ASKED = "Is the kettle on?|Did the tide reach the shed?|Where is the blue rope?|Who fed the hens: you?|Cold up there?"
SAID = (
    "Aye, on and singing.|Reached it and went.|On the nail, as ever.|I did, at six.\nThey ate it all.|Cold? No: fresh."
)


@dataclass(frozen=True)
class Said:
    """One message: who wrote it, when, what, and why it is dropped (None if it is not)."""

    author: str
    at: datetime
    text: str
    dropped: str | None = None


def _talk() -> list[Said]:
    at, found = START, []
    for number in range(40):
        author = OTHER if number % 2 == 0 else ME
        words = RANDOM.choice((ASKED if author == OTHER else SAID).split("|"))
        found.append(Said(author, at, f"{words} ({number})"))
        at += timedelta(minutes=RANDOM.randint(1, 600))
    return found


TALK = _talk()
LINK = Said(ME, TALK[-1].at + timedelta(minutes=1), "https://example.org/tide", "link alone")
LAST = Said(OTHER, TALK[-1].at + timedelta(minutes=2), "Thanks, that will do.")
ALL = [*TALK[:20], Said(OTHER, TALK[20].at, "", "media"), *TALK[20:], LINK, LAST]
KEPT = [(one.author, one.text) for one in ALL if one.dropped is None]
POSTS = [
    f"On the {thing} I have this to say: it {does}, and it asks no thanks.\nMore of it tomorrow."
    for thing in ("lamp", "tide", "shed", "rope", "hens")
    for does in ("holds", "waits", "turns", "leaks", "sings")
]


def whatsapp(folder: Path, stamp: str = "[{:%d.%m.%y, %H:%M:%S}]", between: str = " ", name: str = "_chat.txt") -> Path:
    """A WhatsApp export; `stamp` is the form of the date, `between` stands before the name."""
    ios = stamp.startswith("[")
    mark = "\u200e" if ios else ""
    lines = [f"{mark}{_stamped(stamp, START)}{between}Messages are end-to-end encrypted. Nobody outside can read them."]
    if ios:
        lines = [f"{mark}{_stamped(stamp, START)}{between}Bo: {mark}Messages are end-to-end encrypted."]
    for one in ALL:
        text = one.text or (f"{mark}image omitted" if ios else "<Media omitted>")
        lines.append(f"{mark if not one.text else ''}{_stamped(stamp, one.at)}{between}{one.author}: {text}")
    return _write(folder / name, "\n".join(lines) + "\n")


def _stamped(form: str, at: datetime) -> str:
    """Returns a stamp; `!d`, `!m` and `!I` are day, month and hour without a zero."""
    plain = form.replace("!d", str(at.day)).replace("!m", str(at.month)).replace("!I", str(at.hour % 12 or 12))
    return plain.format(at, at)


def whatsapp_zip(folder: Path) -> Path:
    """WhatsApp's archive, with a picture in it."""
    inner = whatsapp(folder / "inner")
    path = folder / "WhatsApp Chat - Bo.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "_chat.txt")
        archive.writestr("0001-PHOTO.jpg", b"\xff\xd8\xff\xe0" + bytes(100))
    inner.unlink()
    return path


def telegram(folder: Path, whole: bool = False) -> Path:
    """Telegram's result.json: of one chat, or of a whole account."""
    messages: list[dict[str, object]] = [
        {"id": 0, "type": "service", "date_unixtime": "1675242300", "actor": "Bo", "action": "create_group", "text": ""}
    ]
    for one in ALL:
        parts: object = one.text
        if one.dropped == "link alone":
            parts = [{"type": "link", "text": one.text}]
        elif one is TALK[3]:
            parts = [one.text[:4], {"type": "bold", "text": one.text[4:9]}, one.text[9:]]
        message = {
            "id": len(messages), "type": "message", "date": f"{one.at:%Y-%m-%dT%H:%M:%S}",
            "date_unixtime": str(int(one.at.timestamp())), "from": one.author, "from_id": f"user{len(one.author)}",
            "text": parts,
        }  # fmt: skip
        messages.append(message | ({} if one.text else {"photo": "(File not included)", "width": 10}))
    messages.append({**message, "id": 99, "forwarded_from": "News", "text": "Ships may sail."})
    messages.append({**message, "id": 100, "from": ME, "text": [{"type": "bot_command", "text": "/start"}, ""]})
    chat = {"name": "Bo", "type": "personal_chat", "id": 7, "messages": messages}
    data = {"about": "x", "chats": {"about": "y", "list": [chat]}} if whole else chat
    return _write(folder / "result.json", json.dumps(data, indent=1, ensure_ascii=False))


def discord(folder: Path) -> Path:
    """DiscordChatExporter's JSON."""
    messages: list[dict[str, object]] = []
    for one in ALL:
        message = {
            "id": str(len(messages)), "type": "Default", "timestamp": one.at.isoformat(), "callEndedTimestamp": None,
            "isPinned": False, "content": one.text, "attachments": [] if one.text else [{"url": "x.png"}],
            "author": {"id": str(len(one.author)), "name": one.author.lower(), "nickname": one.author, "isBot": False},
        }  # fmt: skip
        messages.append(message)
    messages.append({**message, "type": "GuildMemberJoin", "content": "Joined the server."})
    messages.append({**message, "content": "beep", "author": {"id": "5", "name": "helper", "isBot": True}})
    messages.append({**message, "type": "Call", "content": "Started a call that lasted 3 minutes."})
    data = {"guild": {"id": "0", "name": "Direct Messages"}, "channel": {"id": "3", "name": "Bo"}}
    whole = {**data, "messages": messages, "messageCount": len(messages)}
    return _write(folder / "Direct Messages - Bo.json", json.dumps(whole, indent=2))


def slack(folder: Path) -> Path:
    """The folder of a Slack export."""
    export = folder / "export"
    users = [{"id": f"U{len(name)}", "name": name.lower(), "profile": {"real_name": name}} for name in (ME, OTHER)]
    _write(export / "users.json", json.dumps(users))
    _write(export / "channels.json", json.dumps([{"id": "C1", "name": "general"}]))
    days: dict[str, list[dict[str, object]]] = {}
    for one in ALL:
        message: dict[str, object] = {
            "type": "message",
            "user": f"U{len(one.author)}",
            "ts": f"{one.at.timestamp():.6f}",
        }
        message |= {"text": f"<{one.text}>" if one.dropped == "link alone" else one.text}
        days.setdefault(f"{one.at:%Y-%m-%d}", []).append(message | ({} if one.text else {"files": [{"id": "F"}]}))
    next(iter(days.values())).insert(0, {**message, "subtype": "channel_join", "text": "<@U2> has joined the channel"})
    for day, messages in days.items():
        _write(export / "general" / f"{day}.json", json.dumps(messages, indent=4))
    return export


def imessage(folder: Path) -> Path:
    """A text file of imessage-exporter."""
    out = [f"{_imessage(START)} You renamed the conversation to Sea\n\n"]
    for one in ALL:
        who = "Me" if one.author == ME else "+4912345"
        text = one.text or "/Users/ida/Library/Messages/Attachments/IMG_1.HEIC"
        below = "Tapbacks:\nLoved by Me\n" if one is TALK[4] else ""
        out.append(f"{_imessage(one.at)} (Read by them after 5 minutes)\n{who}\n{text}\n{below}\n")
    return _write(folder / "+4912345.txt", "".join(out))


def _imessage(at: datetime) -> str:
    return f"{at:%b %d, %Y}  {at.hour % 12 or 12}:{at:%M:%S %p}"


def signal(folder: Path) -> Path:
    """The Markdown of sigexport."""
    lines = []
    for one in ALL:
        who = "Me" if one.author == ME else one.author
        text = one.text or "![a.jpg](./media/a.jpg)"
        quote = "\n\n> Is the kettle on?\n\n" if one is TALK[5] else ""
        below = "\n(- Me: +1 -)" if one is TALK[6] else ""
        lines.append(f"[{one.at:%Y-%m-%d %H:%M:%S}] {who}: {quote}{text}  {below}\n")
    return _write(folder / "Bo" / "chat.md", "".join(lines))


def signal_json(folder: Path) -> Path:
    """The JSON lines of sigexport."""
    rows = [
        {
            "date": one.at.isoformat(), "sender": "Me" if one.author == ME else one.author, "body": one.text,
            "quote": "", "sticker": None,
            "reactions": [], "attachments": [] if one.text else [{"name": "a", "path": "a.jpg"}],
        }
        for one in ALL
    ]  # fmt: skip
    return _write(folder / "data.json", "".join(json.dumps(row) + "\n" for row in rows))


def chatgpt(folder: Path) -> Path:
    """ChatGPT's conversations.json: two conversations, the second with a question that was asked anew."""
    conversations = []
    for part in (ALL[:20], ALL[20:]):
        nodes: dict[str, dict[str, object]] = {"root": {"id": "root", "message": None, "parent": None}}
        before = "root"
        for number, one in enumerate(part):
            role = "user" if one.author == ME else "assistant"
            parts = [one.text] if one.text else [{"content_type": "image_asset_pointer"}]
            content = {"content_type": "text" if one.text else "multimodal_text", "parts": parts}
            message = {"author": {"role": role}, "create_time": one.at.timestamp(), "content": content}
            nodes[f"n{number}"] = {"id": f"n{number}", "message": message, "parent": before}
            before = f"n{number}"
        conversations.append({"title": "Sea", "id": f"c{len(conversations)}", "mapping": nodes, "current_node": before})
    system = {"author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]}}
    nodes["s"] = {"id": "s", "message": system, "parent": "root"}
    return _write(folder / "conversations.json", json.dumps(conversations))


def mail(at: Said, number: int) -> str:
    """One mail, with an answer's quotation and a signature."""
    name, address = (at.author, "ida@example.org") if at.author == ME else (at.author, "bo@example.org")
    before = MAILS[number - 1].text.replace("\n", "\n> ")
    quote = f"\nOn Mon, 1 Jan 2023 at 10:00, Bo <bo@example.org> wrote:\n> {before}\n" if number else ""
    refers = f"References: <0@example.org>\nIn-Reply-To: <{number - 1}@example.org>\n" if number else ""
    return (
        f"From: {name} <{address}>\nTo: x@example.org\nSubject: Re: Sea\nDate: {at.at:%a, %d %b %Y %H:%M:%S +0000}\n"
        f"Message-ID: <{number}@example.org>\n{refers}Content-Type: text/plain; charset=utf-8\n\n"
        f"{at.text}\n{quote}\n-- \n{name}\nThe lighthouse, first floor\n"
    )


MAILS = [one for one in ALL if one.text]


def mbox(folder: Path) -> Path:
    """An mbox file, with a newsletter at its end."""
    letters = [mail(one, number) for number, one in enumerate(MAILS)]
    letters.append("From: Shop <news@shop.org>\nDate: Wed, 1 Feb 2023 10:00:00 +0000\nSubject: Sale\n"
                   "List-Unsubscribe: <mailto:x@shop.org>\n\nBuy a lamp.\n")  # fmt: skip
    return _write(
        folder / "mail.mbox", "\n".join(f"From x@example.org Wed Feb  1 10:00:00 2023\n{one}" for one in letters)
    )


def maildir(folder: Path) -> Path:
    """A Maildir folder."""
    for name in ("new", "tmp", "cur"):
        (folder / "Maildir" / name).mkdir(parents=True)
    for number, one in enumerate(MAILS):
        _write(folder / "Maildir" / "cur" / f"16752{number:03d}.x:2,S", mail(one, number))
    return folder / "Maildir"


def eml(folder: Path) -> Path:
    """A folder of single mails."""
    for number, one in enumerate(MAILS):
        _write(folder / "mails" / f"{number:02d}.eml", mail(one, number))
    return folder / "mails"


def text(folder: Path) -> Path:
    """Plain text."""
    return _write(folder / "texts.txt", "\n\n".join(POSTS) + "\n")


def markdown(folder: Path) -> Path:
    """Markdown with front matter, headings, a quotation, code and a picture."""
    body = "".join(f"\n## Part {number}\n\n{post}\n" for number, post in enumerate(POSTS))
    odd = "\n> Somebody else said this.\n\n```\ncode()\n```\n\n![a lamp](lamp.png)\n"
    return _write(folder / "post.md", f"---\ntitle: Sea\ntags: [a]\n---\n# Sea\n{body}{odd}")


def html(folder: Path) -> Path:
    """A page with a menu and a footer."""
    body = "".join(f"<h2>Part {number}</h2><p>{post}</p>" for number, post in enumerate(POSTS))
    head = (
        "<!DOCTYPE html><html><head><title>x</title><style>p{}</style></head><body><nav><a>Home</a> <a>More</a></nav>"
    )
    return _write(folder / "page.html", f"{head}<script>var a=1;</script>{body}<footer>(c) Sea</footer></body></html>")


def docx(folder: Path) -> Path:
    """A Word document with a table."""
    from docx import Document

    document = Document()
    for number, post in enumerate(POSTS):
        document.add_heading(f"Part {number}", 2)
        document.add_paragraph(post)
    document.add_table(1, 2).rows[0].cells[0].text = "cell"
    return _saved(folder / "post.docx", document.save)


def odt(folder: Path) -> Path:
    """An OpenDocument text."""
    from odfdo import Document, Header, Paragraph

    document = Document("text")
    document.body.clear()
    for number, post in enumerate(POSTS):
        document.body.append(Header(2, f"Part {number}"))
        document.body.append(Paragraph(post))
    return _saved(folder / "post.odt", document.save)


def pdf(folder: Path) -> Path:
    """A PDF file of five pages with a head line and page numbers, written by hand."""
    pages = [POSTS[at : at + 5] for at in range(0, len(POSTS), 5)]
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for number, posts in enumerate(pages, 1):
        lines = ["The sea, told by Ida Holm"]
        for post in posts:
            lines += [*post.split("\n"), ""]
        lines.append(f"Page {number} of 5")
        shown = "".join(f"({line}) Tj 0 -14 Td\n" for line in _escaped(lines))
        stream = f"BT /F1 10 Tf 40 780 Td\n{shown}ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources {font} /Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, one in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{one}\nendobj\n".encode())
    start = out.tell()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode())
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    (folder / "post.pdf").write_bytes(out.getvalue())
    return folder / "post.pdf"


def _escaped(lines: list[str]) -> list[str]:
    return [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in lines]


def rows(folder: Path, name: str = "train.jsonl") -> Path:
    """Questions and answers as JSON lines."""
    pairs = zip(ALL[::2], ALL[1::2], strict=False)
    lines = [json.dumps({"prompt": a.text, "completion": b.text}) for a, b in pairs if a.text and b.text]
    return _write(folder / name, "\n".join(lines) + "\n")


def _saved(path: Path, save: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(str(path))  # type: ignore[operator]  # a method of two libraries
    return path


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path
