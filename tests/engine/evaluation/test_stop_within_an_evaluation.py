"""A stop while the answers of an evaluation are embedded does not wait until all of it is scored."""

import pytest
import tiny

from engine.contract.journal import events as e
from engine.evaluation import generation, pairs
from engine.model import sentence_embedder


def test_a_stop_is_taken_while_the_answers_are_embedded(kit, tmp_path, monkeypatch) -> None:
    run = tiny.new_run(tmp_path / "run", tiny.settings(*kit, evaluation={"max_tokens": 8}))
    generate = generation.generate

    def then_stop(*args, **more):
        answers = generate(*args, **more)
        tiny.ask(run, "enough", "stop")
        return answers

    monkeypatch.setattr(generation, "generate", then_stop)
    monkeypatch.setattr(pairs, "preferences", lambda *_: pytest.fail("scored on after the stop"))
    ran = tiny.train_here(run)
    assert (ran.status, ran.of(e.Evaluated)) == (130, [])


def test_an_embedder_looks_up_before_each_batch(monkeypatch) -> None:
    monkeypatch.setattr(sentence_embedder, "BATCH", 2)
    embedder, calls = sentence_embedder.load_embedder(print), []
    texts = ["one", "two", "three", "four", "five"]
    embedder.embed(texts, lambda: calls.append(1))
    assert len(calls) == 3
    embedder.known(texts, lambda: calls.append(1))
    embedder.known(texts, lambda: calls.append(1))
    assert len(calls) == 6
