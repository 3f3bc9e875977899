"""A scorer scores with every part, says why an answer is void, and survives its folder bit by bit."""

import json

import numpy as np
import pytest
from scored_voices import RecordedLogprobs

from engine.contract.errors import InputError
from engine.evaluation.score.scorer import Answer, Tools, fit, score_answers
from engine.evaluation.score.storage import ARRAYS, HEAD, load_scorer, save_scorer
from engine.evaluation.score.texts import ScoringTexts


def embed(texts):
    """Unit vectors from counts of words, which is enough to tell subjects."""
    vectors = np.zeros((len(texts), 512))
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, sum(map(ord, word)) % 512] += len(word) > 4
    return (vectors + 1e-9) / np.linalg.norm(vectors + 1e-9, axis=1, keepdims=True)


def answers_of(texts):
    return [Answer(text.topic, text.question, text.text, text.text) for text in texts.references]


def test_reasons_are_said_in_words(texts, scorer):
    topic, question = texts.references[0].topic, texts.references[0].question
    cases = {
        "": "no words",
        texts.sft[0].text: "a copy of a training row",
        f"Aye, lad, {question} Mark me.": "an echo",
        "Le marché ouvre à sept heures et ferme vers midi. On y trouve des légumes.": "another language",
        "Aye, lad, and then ye take the": "cut off",
        "the boat is the boat is the boat is the boat and the boat is the boat.": "repeated",
    }
    for text, reason in cases.items():
        (score,) = score_answers(scorer, [Answer(topic, question, text)], Tools())
        assert score.voice == 0 and not score.passes and reason in score.reason, text
    (score,) = score_answers(scorer, [Answer(topic, question, texts.references[0].text)], Tools())
    assert score.passes and score.reason is None and score.closeness is None and score.relevance is None


def test_a_reference_of_another_question_says_which(texts):
    tools = Tools(embed=embed)
    scorer = fit(texts, tools)
    first, second, third = answers_of(texts)[:3]
    swapped = Answer(first.topic, first.question, second.text, first.reference)
    found = score_answers(
        scorer, [swapped, third, Answer(second.topic, second.question, "Aye.", second.reference)], tools
    )
    assert second.question in found[0].void and found[1].void is None


def test_a_round_trip_gives_the_same_bits(texts, tmp_path):
    tools = Tools(embed=embed, source=RecordedLogprobs())
    scorer = fit(texts, tools)
    save_scorer(scorer, tmp_path)
    again = load_scorer(tmp_path)
    assert score_answers(again, answers_of(texts), tools) == score_answers(scorer, answers_of(texts), tools)
    before = {name: (tmp_path / name).read_bytes() for name in (HEAD, ARRAYS)}
    save_scorer(again, tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in (HEAD, ARRAYS)}


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 1},
        {"low": "0.5"},
        {"low": 1e300},
        {"grams": ["a", "a"]},
        {"grams": ["long n-gram"]},
        {"folds": {"a": 99}},
        {"folds": []},
        {"health": None},
        {"health": {"pairs": 0.5}},
        {"health": {"pairs": 1e300, "word": 0.5, "distinct": 0.5}},
        {"telling_words": [""]},
        {"whole": 1},
        {"closeness": {}},
        {"familiarity": {"triples": [1]}},
    ],
)
def test_a_damaged_folder_is_refused(scorer, tmp_path, damage):
    save_scorer(scorer, tmp_path)
    head = json.loads((tmp_path / HEAD).read_text())
    del head["digest"]
    (tmp_path / HEAD).write_text(json.dumps(head))
    assert load_scorer(tmp_path).echo == scorer.echo  # that of an older engine
    (tmp_path / HEAD).write_text(json.dumps(head | damage))
    with pytest.raises(InputError, match="scorer"):
        load_scorer(tmp_path)


@pytest.mark.parametrize("name", [HEAD, ARRAYS])
def test_a_flipped_bit_is_seen(scorer, tmp_path, name):
    save_scorer(scorer, tmp_path)
    data = (tmp_path / name).read_bytes()
    changed = data[:-1] + bytes([data[-1] ^ 1])
    if name == HEAD:
        head = json.loads(data)
        changed = json.dumps(head | {"low": head["low"] + 1e-9}).encode()
    (tmp_path / name).write_bytes(changed)
    with pytest.raises(InputError, match="it is not as it was written"):
        load_scorer(tmp_path)


def test_missing_and_broken_files_are_refused(scorer, tmp_path):
    with pytest.raises(InputError):
        load_scorer(tmp_path)
    save_scorer(scorer, tmp_path)
    for name, data in ((ARRAYS, b"\xff" * 64), (HEAD, b"[" * 100_000), (HEAD, b"NaN")):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            load_scorer(tmp_path)
        (tmp_path / name).write_bytes(whole)


def test_few_rows_and_no_pairs_are_enough_to_score(texts):
    few = ScoringTexts(texts.sft[:10], [], texts.references[:3], texts.base[:12])
    scorer = fit(few, Tools(embed=embed))
    assert scorer.closeness is not None and not scorer.closeness.from_pairs
    scores = score_answers(scorer, answers_of(texts)[:3], Tools(embed=embed))
    assert [score.closeness for score in scores] == [1.0, 1.0, 1.0]
