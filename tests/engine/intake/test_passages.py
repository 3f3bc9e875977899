"""Prose becomes passages of a sensible length, and every paragraph of it is in one."""

from engine.intake.rows.parts import Part
from engine.intake.rows.passages import FEW, MOST, Passages
from engine.intake.sources.items import Passage

LONG = " ".join(f"Sentence {i} has just a few words in it." for i in range(60))


def parts(*paragraphs: tuple[str, str]) -> list[Part]:
    passages, found = Passages(), list[Part]()
    for number, (heading, text) in enumerate(paragraphs):
        found += passages.take(Passage(text, heading, f"line {number}"))
    found += passages.end()
    assert sum(part.items for part in found) == len(paragraphs)  # rule 23
    return found


def test_short_paragraphs_join_the_next_one_under_their_heading() -> None:
    whole = " ".join(["word"] * FEW)
    found = parts(("a", "A title"), ("a", whole), ("a", "The end"), ("b", whole))
    assert [(part.heading, part.turns[0].text) for part in found] == [
        ("a", f"A title\n{whole}"),
        ("a", "The end"),
        ("b", whole),
    ]
    assert len(parts(("", "A text of its own."), ("", whole))) == 2


def test_long_ones_are_split_where_a_sentence_ends_and_no_word_is_lost() -> None:
    found = parts(("a", LONG))
    assert len(found) > 1
    assert all(len(part.turns[0].text.split()) <= 1.2 * MOST and part.turns[0].text.endswith(".") for part in found)
    assert " ".join(part.turns[0].text for part in found) == LONG
    assert len({part.place for part in found}) == len(found)
