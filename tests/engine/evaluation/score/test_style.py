"""The learned style tells the keeper from other text, out of fold, and says so if it cannot."""

import numpy as np
import pytest

from engine.evaluation.score.parts.style import fit_style, weaker_mean
from engine.evaluation.score.scorer import Tools, fit
from engine.evaluation.score.texts import Text


def share(style, texts):
    return np.mean([style.score(text.topic, text.text).value >= 0.5 for text in texts])


def test_own_texts_pass_and_others_do_not_out_of_fold(scorer, texts):
    assert scorer.style.separable and scorer.style.advice is None
    assert share(scorer.style, texts.references) >= 0.98
    assert share(scorer.style, texts.chosen) >= 0.98
    assert share(scorer.style, texts.rejected) <= 0.01
    assert share(scorer.style, texts.base) <= 0.01


def test_markers_before_behind_and_between_gain_nothing(scorer, texts):
    markers = ", ".join(scorer.style.telling_words[:12])
    for form in ("{0}, {1}", "{1} {0}.", "{0}. {1}"):
        attack = [Text(text.topic, "", form.format(markers, text.text)) for text in texts.rejected[::4]]
        assert share(scorer.style, attack) <= 0.02


def test_the_same_rows_give_the_same_model(scorer, texts):
    again = fit(texts, Tools()).style
    assert np.array_equal(again.weights, scorer.style.weights)
    assert (again.low, again.high, again.telling_words) == (
        scorer.style.low,
        scorer.style.high,
        scorer.style.telling_words,
    )


@pytest.mark.parametrize("without", ["rejected", "base"])
def test_one_kind_of_other_text_is_enough(texts, without):
    others = texts.base if without == "rejected" else texts.rejected
    style = fit_style(texts.own, others, texts.references)
    assert share(style, texts.references) >= 0.98
    learned = texts.rejected if without == "base" else texts.base
    assert share(style, learned) <= 0.01
    assert share(style, texts.rejected) <= 0.25  # never seen if the base's answers are all there is


def test_ten_rows_a_side_are_enough_for_this_voice(texts):
    style = fit_style(texts.sft[:10], texts.rejected[:10], texts.references[:3])
    late = [text for text in texts.references if text.topic.startswith("unit-04")]
    assert share(style, late) >= 0.9
    assert share(style, [text for text in texts.rejected if text.topic.startswith("unit-04")]) <= 0.1


def test_rows_that_do_not_tell_the_voice_are_said_to(texts):
    style = fit_style(texts.rejected[::2], texts.rejected[1::2], texts.rejected[::2])
    assert not style.separable
    assert "rejected answers" in style.advice


def test_nothing_on_one_side_is_refused(texts):
    with pytest.raises(ValueError, match="rejected answers or the base's own"):
        fit_style(texts.own, [Text("a", "q", " ")], [])


def test_the_weaker_part_decides():
    assert weaker_mean([1.0, 0.0], [2, 8]) == 0.0
    assert weaker_mean([1.0, 0.0], [8, 2]) == pytest.approx(5.5 / 7.5)
    assert weaker_mean([], []) == 0.0


def test_clause_scores_cover_the_answer_and_telling_words_are_marked(scorer):
    text = "Aye, lad, ye'll see it. The procedure is recommended by the manufacturer."
    score = scorer.style.score("unknown", text)
    assert " ".join(clause.text for clause in score.clauses) == text
    assert score.clauses[0].probability > 0.8 > 0.3 > score.clauses[-1].probability
    marked = [text[start:end] for start, end in scorer.style.telling_spans("unknown", text)]
    assert "ye'll" in marked and "procedure" not in marked


def test_a_text_without_words_scores_nothing(scorer):
    for text in ("", " ", "...", "\n\n"):
        assert scorer.style.score("a", text).value == 0.0
