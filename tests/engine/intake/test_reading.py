"""Sources become drafts: every item is used or dropped for a reason, and a second reading keeps what was decided."""

import json
from collections import Counter
from pathlib import Path

import pytest
import someones_texts as nell

from engine.contract.errors import InputError
from engine.contract.run_folder.files import make_folder
from engine.contract.workbook.drafts import Decision
from engine.contract.workbook.files import WorkbookDir, append
from engine.contract.workbook.request import Request
from engine.contract.workbook.workbook import Workbook, read_workbook
from engine.intake import reading as module
from engine.intake.reading import NobodyNamed, Reading
from engine.intake.rows.parts import Left
from engine.rules.enforce import Broken


@pytest.fixture
def folder(tmp_path: Path) -> WorkbookDir:
    found = WorkbookDir(tmp_path / "me")
    make_folder(found.path)
    make_folder(found.inner)
    return found


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.txt"
    path.write_text(nell.chat(300), encoding="utf-8")
    return path


def read(folder: WorkbookDir, *paths: Path, **given: object) -> tuple[Workbook, Reading]:
    request = Request(sources=list(map(str, paths)), **({"me": [nell.PERSON]} | given))  # type: ignore[arg-type]  # keys of Request
    found = Reading(folder, request, lambda _: None, lambda text: len(text.split()), 1024)
    found.read()
    return read_workbook(folder), found


def dropped(folder: WorkbookDir) -> list[dict[str, str]]:
    return [json.loads(line) for line in folder.dropped.read_text(encoding="utf-8").splitlines()]


def test_every_item_is_in_a_draft_or_in_dropped(folder: WorkbookDir, chat: Path, tmp_path: Path) -> None:
    nell.posts(tmp_path / "posts", 4)
    book, found = read(folder, chat, tmp_path / "posts", nell.SIXTY)
    records = found.log.by_path.values()
    assert {record.kind for record in records} == {"WhatsApp chat", "Markdown", "text"}
    assert all(record.items == record.kept + sum(record.dropped.values()) > 0 for record in records)
    assert sum(record.drafts for record in records) == len(book.drafts)
    reasons = sum((Counter(record.dropped) + Counter(record.parts) for record in records), Counter[str]())
    assert Counter(line["reason"] for line in dropped(folder)) == reasons
    assert reasons["system"] == 1 and reasons["not answered"] > 0


def test_a_reading_that_loses_an_item_is_caught(
    folder: WorkbookDir, chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 23 on a broken engine: what stayed unanswered is dropped without being counted."""
    whole = module._Source._settle

    def forgetful(self: module._Source, part: object) -> None:
        if not isinstance(part, Left):
            whole(self, part)  # type: ignore[arg-type]  # what is left of the parts

    monkeypatch.setattr(module._Source, "_settle", forgetful)
    with pytest.raises(Broken, match="items were read"):
        read(folder, chat)


def test_who_the_person_is_has_to_be_said_if_the_file_does_not(folder: WorkbookDir, chat: Path) -> None:
    with pytest.raises(NobodyNamed) as caught:
        read(folder, chat, me=[])
    assert dict(caught.value.found).keys() == {nell.PERSON, *nell.FRIENDS}
    with pytest.raises(InputError, match=r"nobody is called 'Nel'; the names are 'Nell Okafor' \(\d+\)"):
        read(folder, chat, me=["Nel"])
    assert read(folder, chat)[0].drafts, "the right name works after a wrong one"


def test_more_texts_add_drafts_and_decisions_stay(folder: WorkbookDir, chat: Path) -> None:
    before, _ = read(folder, nell.SIXTY)
    append(folder.decisions, Decision(next(iter(before.drafts)), keep=False))
    after, _ = read(folder, nell.SIXTY, chat)
    assert list(after.drafts)[: len(before.drafts)] == list(before.drafts) and len(after.drafts) > len(before.drafts)
    assert after.decisions == read_workbook(folder).decisions and len(after.decisions) == 1


def test_a_newer_export_of_a_chat_replaces_the_older_one(folder: WorkbookDir, chat: Path) -> None:
    before, _ = read(folder, chat)
    decided = next(iter(before.drafts))
    append(folder.decisions, Decision(decided, keep=True))
    chat.write_text(nell.chat(400), encoding="utf-8")
    after, found = read(folder, chat)
    assert decided in after.drafts and len(after.drafts) > len(before.drafts)
    fresh = WorkbookDir(folder.path.with_name("fresh"))
    make_folder(fresh.path)
    make_folder(fresh.inner)
    assert set(read(fresh, chat)[0].drafts) == set(after.drafts)
    (record,) = found.log.by_path.values()
    assert record.items == record.kept + sum(record.dropped.values())


def test_the_same_words_twice_are_one_draft(folder: WorkbookDir, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(nell.SIXTY.read_bytes())
    book, found = read(folder, nell.SIXTY, copy)
    assert len(book.drafts) == 60
    assert found.log.by_path[str(copy)].dropped == {"duplicate": 60}


def test_what_an_interrupted_reading_left_is_read_again(folder: WorkbookDir, chat: Path) -> None:
    whole, _ = read(folder, nell.SIXTY, chat)
    lines = (folder.inner / "sources.jsonl").read_bytes().splitlines(keepends=True)
    (folder.inner / "sources.jsonl").write_bytes(lines[0])  # as if it had been killed before the second record
    folder.drafts.write_bytes(folder.drafts.read_bytes()[:-100])  # with a torn last line
    folder.dropped.write_bytes(folder.dropped.read_bytes()[:-10])
    again, _ = read(folder, nell.SIXTY, chat)
    assert again.drafts == whole.drafts
    assert len({(line["source"], line["place"], line["reason"]) for line in dropped(folder)}) == len(dropped(folder))


def test_private_data_and_names_are_replaced_everywhere_and_ids_stay(folder: WorkbookDir, tmp_path: Path) -> None:
    path = tmp_path / "_chat.txt"
    lines = [
        f"06/01/2025, 08:0{i} - {'Nell' if i % 2 else 'Tomas'}: Tomas, write to a{i}@x.example soon" for i in range(7)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain, _ = read(folder, path, me=["Nell"])
    assert all("private: mail address" in draft.flags for draft in plain.drafts.values())
    book, _ = read(folder, path, me=["Nell"], redact=True, names={"Tomas": "T."})
    texts = folder.drafts.read_text() + folder.dropped.read_text()
    assert "@x.example" not in texts and "Tomas, write" not in texts and "T., write to [mail address] soon" in texts
    assert list(book.drafts) == list(plain.drafts), "the same ids, so that decisions stay"
    assert not any("private" in flag for draft in book.drafts.values() for flag in draft.flags)


def test_a_damaged_source_is_said_and_the_others_are_read(folder: WorkbookDir, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_bytes(nell.SIXTY.read_bytes())
    (texts / "b.json").write_text('{"messages": [', encoding="utf-8")
    book, _ = read(folder, texts)
    assert len(book.drafts) == 60


def test_a_folder_that_is_gone_keeps_what_was_read(folder: WorkbookDir, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(nell.SIXTY.read_bytes())
    before, _ = read(folder, copy)
    copy.unlink()
    after, _ = read(folder, copy, nell.SIXTY)
    assert set(before.drafts) == set(after.drafts)
    with pytest.raises(InputError, match="no such file or folder"):
        read(folder, tmp_path / "never")
