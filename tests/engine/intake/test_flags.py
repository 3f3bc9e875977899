"""Drafts that teach little are flagged: short, long, said before, in another language."""

from engine.contract.workbook.drafts import Turn
from engine.intake.rows.flags import Flags
from engine.intake.rows.languages import main_languages

OWN = "A clock that stops on a Sunday is asking for company, so I put it by the window."


def flags() -> Flags:
    return Flags(["en"], lambda text: len(text.split()), 50)


def answer(text: str) -> tuple[Turn, ...]:
    return Turn("user", "Well?"), Turn("assistant", text)


def test_an_ordinary_draft_has_no_flag() -> None:
    assert flags().of(answer(OWN), "line 1") == ()


def test_each_flag() -> None:
    made = flags()
    assert made.of(answer("haha yes"), "line 1") == ("short",)
    assert made.of((Turn("assistant", "See you at eight then."),), "line 2") == ("short",)
    assert made.of(answer(OWN), "line 3") == ()
    assert made.of(answer(f"Well: {OWN}"), "line 4") == ("near-duplicate: of line 3",)
    assert made.of(answer("word " * 60), "line 5")[0] == "long"
    german = "Die Uhr steht schon wieder, und niemand im ganzen Haus weiß, wie spät es eigentlich ist."
    assert made.of(answer(german), "line 6") == ("language: de",)
    assert made.of(answer("Write to nell@clock.example about the spring."), "line 7") == ("private: mail address",)


def test_the_languages_of_a_person_are_those_of_a_fifth_of_the_texts() -> None:
    french = "Je ne sais pas encore si je viens demain, mais je te le dirai ce soir."
    assert main_languages([OWN] * 7 + [french] * 3) == ["en", "fr"]
    assert main_languages([OWN] * 19 + [french]) == ["en"]
