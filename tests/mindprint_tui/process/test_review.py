"""`mindprint-tui review`: lists flagged rows, keeps decisions, and names a mistake."""

from pathlib import Path

import click
import pytest

from engine.contract.errors import InputError
from engine.contract.workbook.drafts import Decision, Draft, Turn, draft_id
from engine.contract.workbook.files import WorkbookDir, append
from engine.contract.workbook.request import Request, write_request
from engine.contract.workbook.workbook import read_workbook
from mindprint_tui.cli import cli, making

ROWS = [
    (("Who minds it?", "I do, and have done for years."), ()),
    (("Sure?", "Aye."), ("short: 1 word",)),
    (("Your number?", "It is \x1b]0;x\x07 555."), ("private: phone number",)),
]


@pytest.fixture
def me(tmp_path: Path) -> Path:
    folder = WorkbookDir(tmp_path / "me")
    folder.inner.mkdir(parents=True)
    write_request(folder.request, Request())
    for (question, answer), flags in ROWS:
        turns = (Turn("user", question), Turn("assistant", answer))
        append(folder.drafts, Draft(draft_id(turns), "chat.txt", "line 1", turns, flags=flags))
    return folder.path


def ids(me: Path) -> list[str]:
    return list(read_workbook(WorkbookDir(me)).drafts)


def test_it_lists_what_is_flagged_or_left_out(me: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["review", str(me)], standalone_mode=False) == 0
    out = capsys.readouterr().out
    assert "Who minds it?" not in out and "out  [short: 1 word]  Sure? → Aye." in out and "\x1b" not in out
    assert "keep [private: phone number]" in out and out.endswith("2 of 3 rows are kept\n")
    cli(["review", str(me), "--all"], standalone_mode=False)
    assert "Who minds it?" in capsys.readouterr().out


def test_a_decision_stays_and_the_files_are_made_again(me: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(making, "make", lambda name, *_, **__: made.append(name) or 0)
    first, short, private = ids(me)
    assert cli(["review", str(me), "--keep", short, "--drop", private], standalone_mode=False) == 0
    book = read_workbook(WorkbookDir(me))
    assert [book.entry(id).kept for id in (first, short, private)] == [True, True, False] and made == [me]
    append(WorkbookDir(me).decisions, Decision(short, keep=None))
    assert not read_workbook(WorkbookDir(me)).entry(short).kept, "the last decision counts"


@pytest.mark.parametrize(
    ("words", "why"), [(("--keep", "0" * 16), "no row of"), (("--keep", "{0}", "--drop", "{0}"), "name the same row")]
)
def test_a_mistake_decides_nothing(me: Path, words: tuple[str, ...], why: str) -> None:
    chosen = [word.format(ids(me)[0]) for word in words]
    with pytest.raises((InputError, click.ClickException), match=why):
        cli(["review", str(me), *chosen], standalone_mode=False)
    assert not WorkbookDir(me).decisions.exists()


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder that mindprint-tui new has made"):
        cli(["review", str(tmp_path / "nothing")], standalone_mode=False)
