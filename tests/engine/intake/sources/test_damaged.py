"""Damaged, hostile and odd files: a sentence for each, the other files go on, and nothing is lost."""

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import exports
import pytest

from engine.contract.errors import InputError
from engine.intake.sources import archives
from engine.intake.sources.items import Dropped, Item, Message, Passage
from engine.intake.sources.read import Source, Unknown, find

Write = Callable[[Path], Path]
WHOLE = [exports.telegram, exports.discord, exports.chatgpt, exports.signal_json]
LINES = [exports.whatsapp, exports.imessage, exports.signal, exports.mbox, exports.text, exports.markdown, exports.html]
PACKED = [exports.docx, exports.odt, exports.pdf]


def one(path: Path) -> tuple[Source, list[Item]]:
    (source,) = [found for found in find(path) if isinstance(found, Source)]
    items = list(source.items())
    assert source.tally.adds_up
    return source, items


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Message | Passage)]


@pytest.mark.parametrize("write", WHOLE)
def test_a_truncated_json_file_gives_what_is_whole_and_keeps_the_rest(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path)
    data = path.read_text()
    path.write_text(data[: int(len(data) * 0.7)])
    _, items = one(path)
    assert texts(items) and all(text in [text for _, text in exports.KEPT] for text in texts(items))
    damaged = [item for item in items if isinstance(item, Dropped) and item.reason == "damaged"]
    assert len(damaged) == 1 and damaged[0].note
    if write is not exports.chatgpt:
        assert len(texts(items)) > 20
        assert damaged[0].text.strip() and data[: int(len(data) * 0.7)].rstrip().endswith(
            damaged[0].text[-20:].rstrip()
        )


def test_wrong_nesting_costs_one_message_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = exports.discord(tmp_path)
    data = path.read_text()
    at = data.index(json.dumps(exports.TALK[10].text))
    path.write_text(data[:at] + "}]" + data[at:])
    _, items = one(path)
    lost = exports.TALK[10].text
    assert texts(items) == [text for _, text in exports.KEPT if text != lost]
    damaged = [item for item in items if isinstance(item, Dropped) and item.reason == "damaged"]
    assert len(damaged) == 1 and json.dumps(lost) in damaged[0].text


@pytest.mark.parametrize("write", LINES)
def test_a_truncated_text_gives_all_before_the_cut(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path)
    data = path.read_bytes()
    _, before = one(path)
    path.write_bytes(data[: int(len(data) * 0.7)])
    _, items = one(path)
    whole, cut = texts(before), texts(items)
    assert cut[:-1] == whole[: len(cut) - 1] and len(cut) >= len(whole) // 2
    assert whole[len(cut) - 1].startswith(cut[-1][:4])


@pytest.mark.parametrize("write", PACKED)
def test_a_truncated_document_is_named_in_one_sentence(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    exports.text(tmp_path)
    found = list(find(tmp_path))
    said = [item for source in found if isinstance(source, Source) for item in source.items()]
    assert texts(said) == exports.POSTS
    notes = [one.why for one in found if isinstance(one, Unknown)]
    notes += [item.note for item in said if isinstance(item, Dropped) and item.reason == "damaged"]
    assert len(notes) == 1 and "cannot be read" in notes[0] and "\n" not in notes[0]


def test_damaged_rows_are_kept_with_their_line_and_field(tmp_path: Path) -> None:
    path = exports.rows(tmp_path)
    good = path.read_text().count("\n")
    odd = ['{"prompt": "a"', '{"prompt": "", "completion": "b"}', '{"prompt": "a", "completion": "b", "train": false}']
    path.write_text(path.read_text() + "\n".join(odd) + "\n")
    source, items = one(path)
    assert source.tally.units == good + 3
    assert source.tally.dropped == {"damaged": 2, "not trained": 1}
    notes = [item.note for item in items if isinstance(item, Dropped)]
    assert notes[0].startswith(f"line {good + 1}: not a JSON object")
    assert notes[1] == f"line {good + 2}: prompt: found empty text, expected text"


def test_pairs_keep_their_rejected_answer_and_topics_their_name(tmp_path: Path) -> None:
    row = {"prompt": "Cold?", "chosen": "Aye.", "rejected": "It may be.", "topic": "weather"}
    (tmp_path / "pairs.json").write_text(json.dumps([row]))
    _, (item,) = one(tmp_path)
    assert (item.rejected, item.topic) == ("It may be.", "weather")  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_a_chat_is_read_in_its_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    lines = [f"{number:02d}.02.23, 10:0{number % 10} - Jörg: Schöne Grüße {number}" for number in range(1, 25)]
    path.write_bytes("\n".join(lines).encode(encoding))
    source, items = one(path)
    assert texts(items) == [f"Schöne Grüße {number}" for number in range(1, 25)]
    assert items[0].author == "Jörg"  # type: ignore[union-attr]
    said = ["it is not UTF-8 and was read as Windows-1252"] if encoding == "cp1252" else []
    assert source.tally.remarks[:1] == said


def test_pipes_devices_and_missing_paths_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    exports.text(tmp_path)
    found = list(find(tmp_path))
    assert [one.why for one in found if isinstance(one, Unknown)] == ["found a pipe, expected a file"]
    with pytest.raises(InputError, match="found a device"):
        list(find(Path("/dev/zero")))
    with pytest.raises(InputError, match="No such file"):
        list(find(tmp_path / "none"))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n" + bytes(99), b"SQLite format 3\0" + bytes(99), b"{\\rtf1 hello}"])
def test_a_single_named_file_of_another_kind_is_an_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_bytes(data)
    with pytest.raises(InputError, match=r"file\.txt: it is "):
        list(find(tmp_path / "file.txt"))


def test_an_archive_is_unpacked_within_bounds_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../out.txt", "a\n\nb\n")
        archive.writestr("zeros.txt", bytes(80 << 20))
        archive.writestr("in\x1b[31m.txt", "a\n\nb\n")
    found = list(find(path))
    assert sorted(one.why for one in found if isinstance(one, Unknown)) == [
        "it unpacks to 80 MB, which no text does",
        "its name leads out of the archive",
    ]
    assert [one.name for one in found if isinstance(one, Source)] == ["a.zip/in?[31m.txt"]
    monkeypatch.setattr(archives, "MAX_UNPACKED", 4)
    with pytest.raises(InputError, match="unpacks to more than"):
        list(find(path))


@pytest.mark.parametrize("write", [*WHOLE, *LINES, exports.rows, exports.whatsapp_zip])
def test_no_damage_loses_a_unit_or_ends_a_reader(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path)
    data, chance = path.read_bytes(), random.Random(7)
    for _ in range(12):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 3, 30))):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.choice((0, 1, 1, 40))] = chance.choice(
                (b"", b"\n", b"}", b'"', b"\xff", b"[", b":")
            )
        path.write_bytes(bytes(damaged))
        for source in find(tmp_path):
            if isinstance(source, Source):
                assert list(source.items()) and source.tally.adds_up


def test_a_line_of_prose_with_a_colon_is_no_chat(tmp_path: Path) -> None:
    posts = [f"I say this: {post}" for post in exports.POSTS]
    (tmp_path / "a").write_text("\n\n".join(posts))
    source, items = one(tmp_path)
    assert source.kind == "text" and texts(items) == posts
