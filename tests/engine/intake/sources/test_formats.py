"""Every format is told by its content, and each of its units becomes an item or is dropped for its reason."""

import gzip
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import exports
import pytest

from engine.intake.sources.items import Dropped, Exchange, Item, Message, Passage
from engine.intake.sources.read import Source, Unknown, find

Write = Callable[[Path], Path]
AS_ME = {"Me": exports.ME, "+4912345": exports.OTHER, "user": exports.ME, "assistant": exports.OTHER}


def read(path: Path) -> tuple[list[Source], list[Item]]:
    """Returns the sources below a path, none of them unknown, and all items."""
    found = [one for one in find(path) if not isinstance(one, Unknown)]
    items = [item for source in found for item in source.items()]
    assert all(source.tally.adds_up for source in found)
    return found, items


CHATS: dict[str, tuple[str, Write, dict[str, int]]] = {
    "whatsapp ios": ("WhatsApp chat", exports.whatsapp, {"system": 1}),
    "whatsapp zip": ("WhatsApp chat", exports.whatsapp_zip, {"system": 1}),
    "telegram": ("Telegram export", exports.telegram, {"system": 1, "forwarded": 1, "bot command": 1}),
    "telegram, whole": (
        "Telegram export",
        lambda folder: exports.telegram(folder, whole=True),
        {"system": 1, "forwarded": 1, "bot command": 1},
    ),
    "discord": ("Discord export", exports.discord, {"system": 1, "automatic": 1, "call": 1}),
    "slack": ("Slack export", exports.slack, {"system": 1}),
    "imessage": ("iMessage chat", exports.imessage, {"system": 1}),
    "signal": ("Signal chat", exports.signal, {}),
    "signal json": ("Signal export", exports.signal_json, {}),
    "chatgpt": ("ChatGPT export", exports.chatgpt, {"system": 1}),
}


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_gives_its_messages_and_counts_what_it_leaves_out(name: str, tmp_path: Path) -> None:
    kind, write, more = CHATS[name]
    (source,), items = read(write(tmp_path))
    assert source.kind == kind
    said = [item for item in items if isinstance(item, Message)]
    assert [(AS_ME.get(one.author, one.author), one.text) for one in said] == exports.KEPT
    expected = Counter({"media": 1, "link alone": 1}) + Counter(more)
    assert source.tally.dropped == expected
    assert source.tally.units == len(exports.KEPT) + expected.total()
    times = [one.time for one in said if one.time is not None]
    assert len(times) == len(said) and times == sorted(times)
    first = exports.START.replace(second=0).timestamp()
    assert abs(times[0] - first) < 60
    if name.startswith(("imessage", "signal", "chatgpt")):
        assert [one.mine for one in said] == [author == exports.ME for author, _ in exports.KEPT]


STAMPS = {
    "germany": ("{:%d.%m.%y, %H:%M}", " - "),
    "britain": ("{:%d/%m/%Y, %H:%M}", " - "),
    "america": ("!m/!d/{:%y}, !I:{:%M %p}", " - "),
    "america, ios": ("[!m/!d/{:%y}, !I:{:%M:%S\u202f%p}]", " "),
    "brazil": ("{:%d/%m/%Y %H:%M}", " - "),
    "netherlands": ("{:%d-%m-%Y %H:%M}", " - "),
    "japan": ("{:%Y/%m/%d %H:%M}", " - "),
    "sweden": ("{:%Y-%m-%d %H:%M}", " - "),
    "hungary": ("{:%Y. %m. %d. %H:%M}", " - "),
    "finland": ("!d.!m.{:%Y} klo {:%H.%M}", " - "),
    "words": ("{:%d %b %Y, %H:%M}", " - "),
    "persian digits": ("{:%Y/%m/%d, %H:%M}", " - "),
}


@pytest.mark.parametrize("country", STAMPS)
def test_dates_of_many_countries_are_read_in_their_order(country: str, tmp_path: Path) -> None:
    stamp, between = STAMPS[country]
    path = exports.whatsapp(tmp_path, stamp, between)
    if country == "persian digits":
        lines = path.read_text().split("\n")
        digits = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
        path.write_text("\n".join(line[:17].translate(digits) + line[17:] for line in lines))
    (source,), items = read(path)
    said = [item for item in items if isinstance(item, Message)]
    assert source.kind == "WhatsApp chat"
    assert [(one.author, one.text) for one in said] == exports.KEPT
    expected = [one.at.replace(second=0).timestamp() for one in exports.ALL if one.dropped is None]
    assert [one.time - (one.time % 60) for one in said if one.time is not None] == expected
    assert source.tally.dropped == {"system": 1, "media": 1, "link alone": 1}


@pytest.mark.parametrize("write", [exports.mbox, exports.maildir, exports.eml])
def test_mails_lose_quotations_and_signatures_which_are_counted(write: Write, tmp_path: Path) -> None:
    sources, items = read(write(tmp_path))
    kinds = {exports.mbox: "mailbox", exports.maildir: "Maildir", exports.eml: "mail"}
    assert {source.kind for source in sources} == {kinds[write]}
    said = [item for item in items if isinstance(item, Message)]
    assert [(one.author, one.text) for one in said] == exports.KEPT
    assert {one.thread for one in said} == {"<0@example.org>"}
    assert said[1].address == "ida@example.org"
    parts = sum((source.tally.parts for source in sources), Counter[str]())
    assert parts == {"quoted": len(said) - 1, "signature": len(said)}
    dropped = sum((source.tally.dropped for source in sources), Counter[str]())
    assert dropped == {"link alone": 1} | ({"automatic": 1} if write is exports.mbox else {})


DOCUMENTS: dict[str, tuple[str, Write, dict[str, int]]] = {
    "text": ("text", exports.text, {}),
    "markdown": ("Markdown", exports.markdown, {"front matter": 1, "quoted": 1, "code": 1, "media": 1}),
    "html": ("HTML page", exports.html, {"boilerplate": 2}),
    "docx": ("Word document", exports.docx, {"code": 1}),
    "odt": ("OpenDocument text", exports.odt, {}),
    "pdf": ("PDF", exports.pdf, {"boilerplate": 10}),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_give_passages_below_their_headings(name: str, tmp_path: Path) -> None:
    kind, write, dropped = DOCUMENTS[name]
    (source,), items = read(write(tmp_path))
    assert source.kind == kind
    passages = [item for item in items if isinstance(item, Passage)]
    assert [" ".join(one.text.split()) for one in passages] == [" ".join(post.split()) for post in exports.POSTS]
    if name not in ("text", "pdf"):
        assert [one.heading for one in passages] == [f"Part {number}" for number in range(len(exports.POSTS))]
    assert source.tally.dropped == dropped
    assert source.tally.units == len(exports.POSTS) + sum(dropped.values())


@pytest.mark.parametrize("name", ["train.jsonl", "rows.ndjson", "rows.txt", "train.jsonl.gz", "no suffix"])
def test_rows_are_told_by_their_fields_whatever_their_name(name: str, tmp_path: Path) -> None:
    path = exports.rows(tmp_path, name)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    (source,), items = read(path)
    assert source.kind == "rows"
    assert len(items) == source.tally.units >= 20 and all(isinstance(item, Exchange) for item in items)
    assert [turn.role for turn in items[0].turns] == ["user", "assistant"]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [*(CHATS.keys() - {"slack"}), *DOCUMENTS])
def test_the_name_does_not_matter(name: str, tmp_path: Path) -> None:
    kind, write, _ = (CHATS | DOCUMENTS)[name]
    path = write(_made(tmp_path / "one"))
    other = tmp_path / "export 1"
    shutil.move(path, other)
    (source,), _ = read(other)
    assert source.kind == kind


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_mixed_folder_gives_all_sources_and_says_what_it_does_not_read(tmp_path: Path) -> None:
    for write in (exports.whatsapp, exports.telegram, exports.slack, exports.mbox, exports.text, exports.docx):
        write(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    (tmp_path / "link").symlink_to("/etc/hostname")
    found = list(find(tmp_path))
    assert sorted(one.kind for one in found if isinstance(one, Source)) == [
        "Slack export", "Telegram export", "WhatsApp chat", "Word document", "mailbox", "text"
    ]  # fmt: skip
    assert {one.name: one.why for one in found if isinstance(one, Unknown)} == {
        "photo.jpg": "it is not a text, or of a kind that is not read",
        "link": "it is a symbolic link, which is not followed",
    }


def test_a_dropped_item_is_kept_with_its_text_and_place(tmp_path: Path) -> None:
    _, items = read(exports.whatsapp(tmp_path))
    link = next(item for item in items if isinstance(item, Dropped) and item.reason == "link alone")
    assert link.text == exports.LINK.text and link.place.startswith("line ")
