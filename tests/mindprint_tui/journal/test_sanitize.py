"""Whatever a text holds, a terminal shows it and obeys none of it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.journal.events import Decided, Evaluated
from mindprint_tui.journal.sanitize import LONGEST, MARKS, clean, clean_event, one_line
from mindprint_tui.view.text import line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b2J\x90q\x9c", "\\x9b2J\\x90q\\x9c"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("a\u200bb\u200dc\ufeff\U000e0041", "abc"),
        ("\ud800", "\\ud800"),
        ("\ue000", "�"),
        ("a\r\nb\rc\x85d\u2028e", "a\nb␍c\nd\ne"),
        ("\t.", "    ."),
        ("漢字 🗼 é Ωμέγα мир", "漢字 🗼 é Ωμέγα мир"),
        ("\x7f\x00\x08", "␡␀␈"),
        ("a\u00a0b", "a b"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(st.characters(), max_size=200))
def test_nothing_is_left_that_could_be_obeyed(text: str) -> None:
    safe = clean(text)
    assert all(char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in safe)
    assert clean(safe) == safe
    safe.encode()


def test_the_endless_is_cut_and_says_so() -> None:
    assert clean("x" * (LONGEST + 7)) == "x" * LONGEST + "… (+7 characters)"


def test_piled_up_marks_are_cut() -> None:
    assert clean("z" + "\u0301" * 50) == "z" + "\u0301" * MARKS


def test_lines() -> None:
    assert one_line("a\nb") == "a ⏎ b"
    assert line("a\nb", ("c\nd", "bold"), "") == (("a ⏎ b", ""), ("c ⏎ d", "bold"))


def test_every_text_of_an_event_is_cleaned() -> None:
    event = Evaluated("t\x1b", "sft", 0.1, 0.2, 0.3, {"k\x1b": 0.5}, None, "ok", 1.0)
    assert clean_event(event) == Evaluated("t␛", "sft", 0.1, 0.2, 0.3, {"k␛": 0.5}, None, "ok", 1.0)
    assert clean_event(Decided("t", "keep", "\x1b[2J")).reason == "␛[2J"
