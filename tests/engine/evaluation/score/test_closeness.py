"""Closeness is 0 for the bare question and 1 for a paraphrase; answers to other questions are found."""

import numpy as np
import pytest

from engine.evaluation.score.parts.closeness import closeness, fit_closeness, misplaced


def unit(*values):
    return np.array(values) / np.linalg.norm(values)


def turned(vector, towards, cosine):
    """A unit vector with this cosine to `vector`, turned towards an orthogonal one."""
    return cosine * vector + np.sqrt(1 - cosine**2) * towards


AXES = np.eye(12)
REFERENCES = AXES[:6]
QUESTIONS = np.array([turned(AXES[i], AXES[i + 6], 0.4) for i in range(6)])
REJECTED = np.array([turned(AXES[i], AXES[i + 6], 0.7) for i in range(6)])
TOPICS = ["a", "a", "a", "b", "b", "b"]


@pytest.fixture
def scale():
    return fit_closeness(QUESTIONS, REFERENCES, TOPICS, QUESTIONS, REFERENCES, REJECTED)


def test_the_ceiling_is_the_paraphrase(scale):
    assert scale.from_pairs and scale.ceiling == pytest.approx(0.7)
    assert closeness(scale, QUESTIONS[0], REFERENCES[0], QUESTIONS[0]) == 0
    assert closeness(scale, QUESTIONS[0], REFERENCES[0], REJECTED[0]) == pytest.approx(1)
    assert closeness(scale, QUESTIONS[0], REFERENCES[0], turned(AXES[0], AXES[7], 0.55)) == pytest.approx(0.5)
    assert closeness(scale, QUESTIONS[0], REFERENCES[0], -AXES[0]) == 0


def test_a_question_closer_than_the_ceiling_is_no_division_by_zero(scale):
    question = turned(AXES[0], AXES[7], 0.9)
    assert closeness(scale, question, REFERENCES[0], question) == 0
    assert 0 < closeness(scale, question, REFERENCES[0], turned(AXES[0], AXES[7], 0.95)) < 1
    assert closeness(scale, question, REFERENCES[0], REFERENCES[0]) <= 1


def test_without_pairs_the_ceiling_lies_between_question_and_identity():
    none = np.zeros((0, 12))
    scale = fit_closeness(QUESTIONS, REFERENCES, [], none, none, none)
    assert not scale.from_pairs and scale.ceiling == pytest.approx(0.7) and scale.misplaced < 0


def test_an_answer_to_another_question_is_found(scale):
    others = REFERENCES[1:3]
    assert misplaced(scale, REFERENCES[2], REFERENCES[0], others) == 1
    assert misplaced(scale, REJECTED[2], REFERENCES[0], others) == 1
    assert misplaced(scale, REJECTED[0], REFERENCES[0], others) is None
    assert misplaced(scale, AXES[11], REFERENCES[0], others) is None
    assert misplaced(scale, REFERENCES[2], REFERENCES[0], np.zeros((0, 12))) is None


def test_a_vague_answer_that_is_a_little_nearer_to_another_reference_is_its_own(scale):
    vague = unit(*(0.3 * REFERENCES[0] + 0.5 * REFERENCES[2] + AXES[11]))
    assert float(vague @ REFERENCES[0]) - float(vague @ REFERENCES[2]) < scale.misplaced
    assert misplaced(scale, vague, REFERENCES[0], REFERENCES[1:3]) is None
