"""The attacks that a curriculum brings along do not pass, and its own texts do: the bars of the score."""

import pytest
from scored_voices import FIXTURES, ROOT, RecordedLogprobs, read_texts

from engine.evaluation.score.controls import Control, attacks, first_half, run_controls
from engine.evaluation.score.scorer import Tools, fit, score_answers

NEEDS_EMBEDDER = "references of another question"
VOICES = ROOT / "tests" / "voices"


def run(texts, scorer, tools=None):
    tools = tools or Tools()
    found = [attack for attack in attacks(texts, scorer.style.telling_words) if attack.name != NEEDS_EMBEDDER]
    return run_controls(found, lambda answers: score_answers(scorer, answers, tools), tools.source is not None)


def test_every_bar_holds_on_the_keeper(texts, scorer):
    controls = run(texts, scorer)
    assert len(controls) >= 7
    assert [str(control) for control in controls if not control.holds] == []


def test_every_bar_that_needs_the_base_model_holds_on_the_keeper(texts):
    tools = Tools(source=RecordedLogprobs())
    scorer = fit(texts, tools)
    names = {"words of the reference shuffled", "the first half of the reference", "another language", "references"}
    found = [attack for attack in attacks(texts, scorer.style.telling_words) if attack.name in names]
    controls = run_controls(found, lambda answers: score_answers(scorer, answers, tools), True)
    assert len(controls) == 4
    assert [str(control) for control in controls if not control.holds] == []


@pytest.mark.parametrize("voice", ["quiet", "german"])
def test_every_bar_holds_on_other_voices_but_for_one_text(voice):
    texts = read_texts(VOICES / voice, FIXTURES / f"{voice}_base.json")
    controls = run(texts, fit(texts, Tools()))
    # With 20 to 30 texts a bound of 2 % allows none. One German reference of 20 scores 0.34.
    assert [str(control) for control in controls if not control.holds and len(control.broken) > 1] == []


def test_a_control_shows_its_count_and_its_bound():
    control = Control("the base model's answers", "must_not_pass", 1, 84, 0.01)
    assert str(control) == "the base model's answers: 1 of 84 pass, at most 1% may" and not control.holds
    assert Control("references", "must_pass", 83, 84, 0.98).holds
    assert Control("nothing", "must_pass", 0, 0, 0.98).holds


def test_half_a_reference_is_never_a_whole_sentence():
    assert first_half("One two three. Four five six.") == "One two"
    assert first_half("One") == "One"
