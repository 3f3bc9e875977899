"""The figures of an evaluation, worked out by hand from three answers and two pairs, and pair by pair."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import tiny

from engine.contract.journal.events import Evaluated
from engine.contract.journal.store import read_journal
from engine.contract.settings.config import load_config
from engine.evaluation import evaluate, generation, pairs
from engine.evaluation.generation import Answer
from engine.model.backend import prepare
from engine.pipeline.setup import open_session, read_curriculum
from engine.runtime.history import History
from engine.runtime.recorder import Recorder
from engine.training.session import Session

TOPIC = tiny.TOPICS[0]
QUESTIONS = (
    ("What is a lamp good for?", "Aye: a lamp saves lives.", ["Lamp", "oil", "rope"]),
    ("And what is the sea?", "Aye: the sea is deep.", ["deep"]),
    ("What do you say?", "Nay: I say little.", []),
)
ANSWERS = [
    Answer("Aye, the lamp burns oil.", 6, "eos"),
    Answer("", 0, "eos"),
    Answer("aye aye aye aye aye aye", 6, "length"),
]
PAIRS = [  # of unlike length, the chosen answer the longer one in each
    (f"Would you {what} the lamp?", f"Aye, {long} and then again, as long as I live.", short)
    for what, long, short in (
        ("clean", "twice a day", "No."),
        ("sell", "for all the gold there is", "It may be sold."),
        ("carry", "up all of the stairs", "Yes, carry it."),
        ("light", "at dusk", "One lights it."),
        ("dim", "at dawn", "It dims."),
    )
]


@dataclass
class Meaning:
    """An embedder to which each answer is as like its reference as is said."""

    cosines: tuple[float, ...]

    def known(self, texts: list[str], between: object = None) -> mx.array:
        return mx.array([[1.0, 0.0]] * len(texts))

    def embed(self, texts: list[str], between: object = None) -> mx.array:
        return mx.array([[cosine, (1 - cosine**2) ** 0.5] for cosine in self.cosines])


@pytest.fixture
def session(kit: tuple[Path, Path], tmp_path: Path) -> Iterator[Session]:
    """A run of one topic with these questions and pairs, all of them held out, before anything is trained."""
    course = tiny.make_curriculum(tmp_path / "course", 1)
    quiz = [dict(zip(("question", "reference", "concepts"), row, strict=True)) for row in QUESTIONS]
    pairs = [dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) | {"heldout": True} for row in PAIRS]
    trained_on = json.loads((course / "preferences.jsonl").read_text().splitlines()[0])
    for name, rows in (("quiz", quiz), ("preferences", [trained_on, *pairs])):
        (course / f"{name}.jsonl").write_text("".join(json.dumps({"topic": TOPIC} | row) + "\n" for row in rows))
    run = tiny.new_run(tmp_path / "run", tiny.settings(kit[0], course, dpo={"beta": 0.5}))
    config, recorder = load_config(run.config), Recorder(run)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with tiny.quick_loading():
        yield open_session(run, recorder, prepare(), config, read_curriculum(config), History())
    for number, handler in handlers.items():
        signal.signal(number, handler)
    recorder.close()


def test_the_figures_of_three_answers_and_two_pairs(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer is good, one empty and one repeats itself; of the pairs one is right, a token at a time."""
    session.embedder = Meaning((0.8, 0.5, -0.6))  # type: ignore[assignment]
    logps = ([-20.0, -40.0], [-9.0, -6.0], [10, 10], [3, 3])  # sums, then tokens; a token -2 beside -3, -4 beside -2
    monkeypatch.setattr(generation, "generate", lambda session, prompts, **more: ANSWERS)
    monkeypatch.setattr(pairs, "pair_logps", lambda session, topic: tuple(map(mx.array, logps)))
    since = Evaluated(TOPIC, "sft", 0.5, 0.5, 0.5, {}, None, "ok", 1.0, heldout_gap=-30.0)
    found = evaluate.evaluate(session, session.curriculum.topics, "dpo", since)[TOPIC]
    assert found.accuracy == pytest.approx(0.8 / 3)  # nothing for the empty answer, nor for the opposite
    assert found.voice == pytest.approx(1 / 3) and found.components == {"assent": pytest.approx(1 / 3)}
    assert found.combined == pytest.approx((0.8 / 3 + 1 / 3) / 2)
    assert found.concepts == pytest.approx((2 / 3 + 0) / 2)  # of the questions that list any, in either case
    assert (found.health, found.cut, found.questions) == ("empty", 1, 3)  # two of three are sick
    assert found.preference_accuracy == 0.5
    assert found.heldout_gap == pytest.approx(-22.5)  # -11 and -34
    assert found.heldout_margin == pytest.approx(0.5 * (-22.5 + 30))
    samples = [record.event for record in read_journal(session.run.journal) if record.event.kind == "sample"]
    assert [sample.health for sample in samples] == ["ok", "empty", "repeating"]
    assert [sample.scores["accuracy"] for sample in samples] == pytest.approx([0.8, 0.0, 0.0])
    assert [sample.scores["voice"] for sample in samples] == [1.0, 0.0, 0.0]
    assert [sample.scores["concepts"] for sample in samples] == [pytest.approx(2 / 3), 0.0, None]


def test_one_sick_answer_of_three_makes_no_topic_sick(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.embedder = Meaning((0.8, 0.5, 0.2))  # type: ignore[assignment]
    answers = [ANSWERS[0], Answer("Aye, it is deep.", 5, "eos"), ANSWERS[2]]
    monkeypatch.setattr(generation, "generate", lambda session, prompts, **more: answers)
    found = evaluate.evaluate(session, session.curriculum.topics, "sft")[TOPIC]
    assert found.health == "ok" and found.accuracy == pytest.approx(0.5)


def test_held_out_pairs_have_the_likelihoods_that_they_have_alone(session: Session) -> None:
    """In batches of both answers, padded and in lanes; and the one that is likelier is so by the token."""
    (topic,) = session.curriculum.topics
    limit = session.config.model.max_length

    def alone(pair: Any, answer: str) -> tuple[float, int]:
        example = session.renderer.example(pair.messages, answer, limit)
        logits = np.array(session.model(mx.array([example.ids]))[0], dtype=np.float64)
        logps = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        places = range(example.prompt, len(example.ids))
        return sum(logps[place - 1, example.ids[place]] for place in places), len(places)

    chosen, rejected = ([alone(pair, getattr(pair, side)) for pair in topic.heldout] for side in ("chosen", "rejected"))
    assert len(topic.heldout) == len(PAIRS) > pairs.PAIR_BATCH
    found = [part.tolist() for part in pairs.pair_logps(session, topic)]
    wanted = [[row[part] for row in side] for part in (0, 1) for side in (chosen, rejected)]
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-2)
    assert not any(a > b for a, b in zip(*wanted[:2], strict=True)), "the longer one is never likelier as a whole"
    by_token = [a / n > b / m for a, b, n, m in zip(*wanted, strict=True)]
    assert any(by_token) and pairs.preferences(session, topic)[0] == pytest.approx(sum(by_token) / len(by_token))
