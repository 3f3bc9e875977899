"""What the base model wrote is used only if it fits: a question about the passage, an answer of the person's length."""

import pytest

from engine.intake.made.questions import keywords_of, usable_question
from engine.intake.made.rejected import fit_length

PASSAGE = "I charge for patience and throw the spring in for nothing, which is only honest."


def test_keywords_are_frequent_in_a_passage_and_rare_in_the_others() -> None:
    found = keywords_of(
        ["The kettle and the clock. The kettle again.", "The clock was late.", "A clock, a clock!", "Clock."]
    )
    assert "kettle" in found[0]
    assert all(words for words in found)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("What do you charge for a spring?", "What do you charge for a spring?"),
        ('Question: "What do you charge for a spring?" Then more.', "What do you charge for a spring?"),
        ("What do you mean?", None),  # no keyword
        ("Do you charge for patience and throw the spring in for nothing?", None),  # tells the answer
        ("The spring.", None),
        ("<|im_end|> What about the spring then?", None),
    ],
)
def test_a_question_has_a_keyword_and_does_not_tell_the_answer(written: str, expected: str | None) -> None:
    assert usable_question(written, PASSAGE, ["charge", "patience", "spring"], ["<|im_end|>"]) == expected


@pytest.mark.parametrize(
    ("text", "ended", "length", "expected"),
    [
        ("One two three.", True, 14, "One two three."),
        ("One two three", True, 14, "One two three"),
        ("One two three", False, 14, None),  # cut in the middle of a sentence
        ("One two three. Four five six seven.", True, 14, "One two three."),
        ("One. Two three four five six.", True, 14, None),
    ],
)
def test_an_answer_is_held_to_the_length_at_the_end_of_a_sentence(
    text: str, ended: bool, length: int, expected: str | None
) -> None:
    assert fit_length(text, ended, length) == expected
