"""Near-duplicates are found among the last texts, and what is forgotten takes no memory."""

import pytest

from engine.intake.rows import near_duplicates as module
from engine.intake.rows.near_duplicates import NearDuplicates

TEXT = "A clock that stops on a Sunday is asking for company, so I put it by the window."


def test_a_text_with_a_few_other_words_is_near_and_another_is_not() -> None:
    texts = NearDuplicates()
    texts.add("line 1", TEXT)
    assert texts.find(TEXT.upper()) == "line 1"
    assert texts.find(f"Well, {TEXT}") == "line 1"
    assert texts.find("A clock that stops on a Monday wants oil and nothing else from me.") is None


def test_old_texts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPARED", 50)
    texts = NearDuplicates()
    for number in range(500):
        texts.add(f"line {number}", f"number {number} of many is here for now")
    assert texts.find("number 499 of many is here for now") == "line 499"
    assert len(texts._texts) == 50 and texts._first == 450
    assert all(number >= 450 for listed in texts._by_gram.values() for number in listed)


def test_a_phrase_that_everybody_uses_does_not_make_a_look_up_slow() -> None:
    texts = NearDuplicates()
    for number in range(2000):
        texts.add(f"line {number}", f"see you at the shop then number {number}")
    assert max(map(len, texts._by_gram.values())) == module.LISTED
