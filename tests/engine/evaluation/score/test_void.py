"""Copies of training rows, of other answers and of the question are found; the person's own texts are none."""

import pytest

from engine.evaluation.score.parts.void import CopyIndex, always_whole, echo_share, ends_whole, fit_echo, same_answers
from engine.evaluation.score.texts import Text


def test_a_training_row_is_found_whole_cut_and_behind_a_prefix(scorer, texts):
    for number, row in enumerate(texts.own[:20]):
        words = row.text.split()
        assert scorer.copies.copied(row.text) == number
        assert scorer.copies.copied(" ".join(words[: len(words) * 2 // 3])) == number
        assert scorer.copies.copied("Well now, since you ask me that: " + row.text.lower()) == number


def test_held_out_references_are_no_copies(scorer, texts):
    assert not any(scorer.copies.copied(text.text) is not None for text in texts.references)


def test_short_rows_count_only_as_a_whole():
    index = CopyIndex.of(["Aye, lad.", "Never on a Friday."])
    assert index.copied("aye lad") == 0
    assert index.copied("Aye, lad, in the morning.") is None
    assert CopyIndex.of([]).copied("Aye, lad.") is None


def test_the_same_answer_to_two_questions_is_found_and_two_models_answering_one_question_are_not():
    text = "Cut it cold and cut it level, and nip the corners so that no horns grow on the flame."
    answers = [Text("a", "one", text), Text("a", "two", text + " Aye."), Text("b", "one", text), Text("a", "one", text)]
    assert same_answers(answers) == [1, 0, None, 1]
    assert same_answers([Text("a", "one", ""), Text("a", "two", "")]) == [None, None]


@pytest.mark.parametrize(
    "frame",
    [
        "Aye, lad, I've seen it: {} 'Tis so, mark me.",
        "Ye ask me: {} I'll tell ye, 'tis just so as ye say it, and never otherwise.",
    ],
)
def test_the_question_in_a_frame_is_an_echo(scorer, texts, frame):
    found = [echo_share(text.question, frame.format(text.question)) > scorer.echo for text in texts.references]
    assert sum(found) >= 0.98 * len(found)


def test_own_texts_are_no_echo(scorer, texts):
    own = [*texts.own, *texts.references]
    assert sum(echo_share(text.question, text.text) > scorer.echo for text in own) <= 0.01 * len(own)
    assert echo_share("Is it dangerous?", "Yes.") == 0
    assert echo_share("灯塔的玻璃为什么要每天擦?", "灯塔的玻璃为什么要每天擦") > 0.9
    assert fit_echo([]) == 0.25


def test_a_cut_answer_is_known_only_where_the_person_ends_sentences(texts):
    assert always_whole(texts.references)
    assert not always_whole([Text("a", "q", "no full stop here")] * 3)
    assert ends_whole('He said "go."') and ends_whole("灯亮了。") and not ends_whole("and then he")
