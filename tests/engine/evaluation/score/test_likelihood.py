"""The base model's word on answers: relevance, improbable text, and cut text."""

import pytest
from scored_voices import RecordedLogprobs

from engine.evaluation.score.controls import attacks
from engine.evaluation.score.parts.likelihood import (
    NEUTRAL,
    AnswerLogprobs,
    Likelihood,
    fit_likelihood,
    measure_likelihood,
)


def fake(prompts, answers):
    """Two nats a token, one less if the prompt is the neutral one."""
    return [
        AnswerLogprobs(-(3 if prompt == NEUTRAL else 2) * len(answer.split()), len(answer.split()), -1.0)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def test_relevance_is_what_the_question_adds_per_token():
    (found,) = measure_likelihood(fake, ["Why?"], ["because of the tide"])
    assert (found.relevance, found.per_word, found.words, found.end) == (1.0, -2.0, 4, -1.0)
    assert measure_likelihood(fake, [], []) == []


def test_likely_text_is_no_fault_and_short_text_has_wider_limits():
    references = [Likelihood(-6 - i / 10, 60, 0.1, -3 - i / 5) for i in range(10)]
    limits = fit_likelihood(references)
    assert all(limits.unlikely(found) is None for found in references)
    assert limits.unlikely(Likelihood(-0.5, 60, 2.0, 0.0)) is None
    assert "improbable text" in limits.unlikely(Likelihood(-9.5, 60, 0.1, -3.0))
    assert limits.unlikely(Likelihood(-9.5, 5, 0.1, -3.0)) is None
    assert "cut off" in limits.unlikely(Likelihood(-6.0, 60, 0.1, -15.0))


def test_few_references_give_no_limits():
    assert fit_likelihood([Likelihood(-6.0, 60, 0.1, -3.0)] * 4) is None


@pytest.mark.parametrize(
    ("name", "most"),
    [("words of the reference shuffled", 0.01), ("the first half of the reference", 0.05)],
)
def test_shuffled_and_cut_references_are_found_by_the_base_model_alone(texts, name, most):
    source = RecordedLogprobs()

    def measure(answers):
        return measure_likelihood(source, [one.question for one in answers], [one.text for one in answers])

    known = measure(texts.references)
    limits = fit_likelihood(known)
    assert sum(limits.unlikely(found) is not None for found in known) <= 0.02 * len(known)
    attack = next(attack for attack in attacks(texts, ("x",) * 8) if attack.name == name)
    passed = [limits.unlikely(found) is None for found in measure(attack.answers)]
    assert sum(passed) <= most * len(passed)
