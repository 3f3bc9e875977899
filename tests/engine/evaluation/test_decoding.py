"""The repetition penalty is one setting for evaluation and chat; the rule that answers are greedy counts it in."""

import mlx.core as mx
import pytest
import tiny

from engine.contract.journal import events as e
from engine.contract.settings.config import PENALIZED, EvaluationConfig
from engine.evaluation.decoding import processors


def test_a_repeated_token_becomes_less_likely_by_the_penalty():
    (process,) = processors(EvaluationConfig(repetition_penalty=2.0))
    found = process(mx.array([1, 2]), mx.array([[3.0, 4.0, -1.0, 5.0]]))
    assert found.tolist() == [[3.0, 2.0, -2.0, 5.0]]


def test_only_the_last_tokens_are_penalized():
    (process,) = processors(EvaluationConfig(repetition_penalty=2.0))
    tokens = mx.array([0] + [1] * PENALIZED)
    assert process(tokens, mx.array([[4.0, 4.0]])).tolist() == [[4.0, 2.0]]


def test_a_penalty_of_one_changes_nothing():
    assert processors(EvaluationConfig()) == []


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("sources")
    sources = tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 1)
    return tiny.settings(*sources, evaluation={"max_tokens": 24, "repetition_penalty": 2.0}, dpo={"when": "never"})


def test_answers_repeat_less_and_the_rule_holds(config, tmp_path):
    def repeats(penalty: float) -> int:
        config["evaluation"]["repetition_penalty"] = penalty
        ran = tiny.train_here(tiny.new_run(tmp_path / str(penalty), config))
        assert not ran.of(e.Failed)
        tokens = [tiny.TOKENIZERS[0].encode(sample.answer) for sample in ran.of(e.Sample)]
        return sum(len(each) - len(set(each)) for each in tokens)

    assert repeats(2.0) < repeats(1.0)
