"""A negation takes a claim back only if it governs the claim."""

import re

import pytest

from engine.evaluation.score.profile_claims import Claims, find_violations

MACHINE = re.compile(
    r"\b(?:I(?:'m| am) an? (?:AI|language model|chatbot)|as an? (?:AI|language model))\b", re.IGNORECASE
)
AVOID = re.compile(r"\bit is important\b", re.IGNORECASE)
CLAIMS = Claims((AVOID,), 0.15, (("not a machine", (MACHINE,)),))


@pytest.mark.parametrize(
    "answer",
    [
        "Never mind, I am an AI language model.",
        "Never mind that I am an AI.",
        "No, I am a language model.",
        "I canna help, I'm a chatbot.",
        "No doubt I am an AI.",
        "I do not know ropes. I am an AI.",
        "I’m an AI, lass, and not ashamed.",
        "I cannot help ye because I am an AI.",
    ],
)
def test_claims_that_stand(answer):
    found = find_violations(CLAIMS, answer)
    assert found.confused and found.factor(0.15) == 0
    assert found.confused[0][1].lower() in answer.replace("’", "'").lower()


@pytest.mark.parametrize(
    "answer",
    ["I'm a keeper, lad.", "Do not ever say that ye saw an AI.", "Ye'd not speak as an AI would.", "Never as an AI."],
)
def test_claims_that_are_denied_or_not_made(answer):
    assert find_violations(CLAIMS, answer).confused == ()


def test_each_avoided_phrase_costs():
    found = find_violations(CLAIMS, "It is important to trim the wick.")
    assert found.avoided == ("It is important",) and found.factor(0.15) == pytest.approx(0.85)
    assert find_violations(CLAIMS, "Not that it is important.").avoided == ("it is important",)
    assert find_violations(Claims(), "I am an AI.").factor(0.15) == 1
