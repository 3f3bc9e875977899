"""With the real embedder: references of other questions do not pass, and a run's answers are not taken for them."""

import json

import numpy as np
import pytest
from scored_voices import FIXTURES, ROOT, keeper, read_texts

from engine.evaluation.score.controls import attacks, run_controls
from engine.evaluation.score.scorer import Answer, Tools, fit, score_answers
from engine.model.backend import prepare

SHIFTED = "references of another question"
JOURNAL = ROOT / "tests" / "journals" / "keeper-quick" / "journal.jsonl"
VOICES = ["keeper", "quiet", "german"]


@pytest.fixture(scope="module")
def tools():
    prepare()  # before mlx is imported: its own BLAS is slow
    from engine.model.sentence_embedder import load_embedder

    embedder, known = load_embedder(print), {}

    def embed(texts):
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, np.array(embedder.embed(new)), strict=True))
        return np.array([known[text] for text in texts])

    return Tools(embed=embed)


@pytest.fixture(scope="module")
def fitted(tools):
    voices = {name: read_texts(ROOT / "tests" / "voices" / name, FIXTURES / f"{name}_base.json") for name in VOICES[1:]}
    return {name: (texts, fit(texts, tools)) for name, texts in {"keeper": keeper(), **voices}.items()}


@pytest.mark.parametrize("voice", VOICES)
def test_no_reference_passes_for_another_question_and_each_passes_for_its_own(voice, fitted, tools):
    texts, scorer = fitted[voice]
    found = [attack for attack in attacks(texts, scorer.style.telling_words) if attack.name in (SHIFTED, "references")]
    shifted, own = run_controls(found, lambda answers: score_answers(scorer, answers, tools), False)
    assert shifted.passed == 0 and shifted.n >= 20
    assert len(own.broken) <= 1


def test_no_trained_answer_of_a_run_is_taken_for_an_answer_to_another_question(fitted, tools):
    """A rule by the margin alone voided 6 of them, of which two readers found 5 on their subject."""
    samples = [json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()]
    stages = {}
    for row in samples:
        if row["kind"] == "sample" and row["stage"] != "before":
            answer = Answer(row["topic"], row["question"], row["answer"], row["reference"])
            stages.setdefault((row["topic"], row["stage"]), []).append(answer)
    scores = [score for answers in stages.values() for score in score_answers(fitted["keeper"][1], answers, tools)]
    assert len(scores) > 30
    assert [score.void for score in scores if score.void and "another question" in score.void] == []
