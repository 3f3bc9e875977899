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
from mlx.utils import tree_flatten

from engine.contract.journal.events import Evaluated, Sample
from engine.contract.journal.store import read_journal
from engine.contract.settings.load import load_config
from engine.evaluation import evaluate, generation, pairs, scoring
from engine.evaluation.generation import Answer
from engine.model.backend import prepare
from engine.pipeline.setup import open_session, read_curriculum
from engine.runtime.history import History
from engine.runtime.recorder import Recorder
from engine.training.session import Session

TOPIC = tiny.TOPICS[0]
N = "model.layers.0.self_attn.q_proj.weight"
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
    """An embedder to which each answer is as like its reference as is said; every other text is the reference."""

    cosines: dict[str, float]

    def embed(self, texts: list[str], between: object = None) -> mx.array:
        near = [self.cosines.get(text, 1.0) for text in texts]
        return mx.array([[cosine, (1 - cosine**2) ** 0.5] for cosine in near])


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
        yield open_session(run, recorder, prepare(), config, read_curriculum(config), History())[0]
    for number, handler in handlers.items():
        signal.signal(number, handler)
    recorder.close()


def test_the_figures_of_three_answers_and_two_pairs(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer is good, one empty and one repeats itself; of the pairs one is right, a token at a time."""
    session.embedder = Meaning({ANSWERS[0].text: 0.8, ANSWERS[2].text: -0.6})  # type: ignore[assignment]
    logps = ([-20.0, -40.0], [-9.0, -6.0], [10, 10], [3, 3])  # sums, then tokens; a token -2 beside -3, -4 beside -2
    monkeypatch.setattr(generation, "generate", lambda session, prompts, **more: ANSWERS)
    monkeypatch.setattr(pairs, "pair_logps", lambda session, topic: tuple(map(mx.array, logps)))
    since = Evaluated(TOPIC, "sft", 0.5, 0.5, 0.5, {}, None, "ok", 1.0, heldout_gap=-30.0)
    found = evaluate.evaluate(session, session.curriculum.topics, "dpo", since)[TOPIC]
    events = [record.event for record in read_journal(session.run.journal)]
    samples = [event for event in events if isinstance(event, Sample)]
    assert found.accuracy == pytest.approx(0.8 / 3)  # nothing for the empty answer, nor for the opposite
    voices = [sample.scores["voice"] or 0.0 for sample in samples]
    assert voices[0] == pytest.approx(samples[0].scores["style"]) and voices[1:] == [0.0, 0.0]
    assert found.voice == pytest.approx(voices[0] / 3) and found.components == {"assent": pytest.approx(2 / 3)}
    assert samples[1].scores["closeness"] == 0.0 and found.closeness is not None
    assert found.combined == pytest.approx((found.voice + found.closeness) / 2)
    assert found.concepts == pytest.approx((2 / 3 + 0) / 2)  # of the questions that list any, in either case
    assert (found.health, found.cut, found.questions, found.loops) == ("empty", 1, 3, 1)  # two of three are sick
    assert found.preference_accuracy == 0.5
    assert found.heldout_gaps == (-11.0, -34.0) and found.heldout_gap == pytest.approx(-22.5)
    assert found.heldout_margin == pytest.approx(0.5 * (-22.5 + 30))
    assert [sample.health for sample in samples] == ["ok", "empty", "repeating"]
    assert [sample.scores["accuracy"] for sample in samples] == pytest.approx([0.8, 0.0, 0.0])
    assert [sample.scores["concepts"] for sample in samples] == [pytest.approx(2 / 3), 0.0, None]
    assert samples[2].reason is not None and "repeated" in samples[2].reason
    assert "".join(text for text, _ in samples[0].clauses).replace(" ", "") == ANSWERS[0].text.replace(" ", "")
    low, high = found.intervals["accuracy"]
    assert low < found.accuracy < high and "voice" in found.intervals and found.relevance is not None
    assert session.scored.samples[("dpo", TOPIC)] == tuple(samples)
    base = evaluate.evaluate(session, session.curriculum.topics, "before")[TOPIC]
    assert base.relevance is None and base.voice == found.voice  # the base model likes its own answers best


def test_one_sick_answer_of_three_makes_no_topic_sick(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [ANSWERS[0], Answer("Aye, it is deep.", 5, "eos"), ANSWERS[2]]
    near = dict(zip([answer.text for answer in answers], (0.8, 0.5, 0.2), strict=True))
    session.embedder = Meaning(near)  # type: ignore[assignment]
    monkeypatch.setattr(generation, "generate", lambda session, prompts, **more: answers)
    found = evaluate.evaluate(session, session.curriculum.topics, "sft")[TOPIC]
    assert found.health == "ok" and found.accuracy == pytest.approx(0.5)


def test_the_scorer_is_fitted_once_before_the_first_answer_is_journaled(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate.evaluate(session, session.curriculum.topics, "before")
    kinds = [record.event.kind for record in read_journal(session.run.journal)]
    assert kinds.index("scorer_fitted") < kinds.index("sample")
    files = {file.name: file.read_bytes() for file in session.run.scores.iterdir()}
    assert set(files) == {"scorer.json", "scorer.safetensors"}
    assert session.run.scores.stat().st_mode & 0o777 == 0o700
    session.scoring = None  # as in an engine that goes on
    monkeypatch.setattr(scoring, "fit_texts", lambda *args: pytest.fail("fitted a second time"))
    evaluate.evaluate(session, session.curriculum.topics, "sft")
    assert {file.name: file.read_bytes() for file in session.run.scores.iterdir()} == files


def test_a_run_of_an_older_engine_is_fitted_from_its_journal(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = scoring.fit_texts
    monkeypatch.setattr(scoring, "fit_texts", lambda texts, tools: seen.append(texts) or real(texts, tools))
    old = Sample(TOPIC, "before", QUESTIONS[0][0], QUESTIONS[0][1], "I do not know much.", 5, "eos", (), (), {})
    session.recorder.say(old)
    evaluate.evaluate(session, session.curriculum.topics, "sft")
    assert [text.text for text in seen[0].base] == ["I do not know much."]


def test_the_base_model_keeps_its_weights_and_takes_no_memory_of_its_own(session: Session) -> None:
    """Its log-probabilities stay the same while the trained model's own weights are replaced."""
    source = scoring.tools_of(session).source
    assert source is not None
    before = source(["Who?"], ["Aye, lad."])
    model, base = (dict(tree_flatten(each.parameters())) for each in (session.model, session.base.modules()[0]))
    buffers = [np.array(array, copy=False).__array_interface__["data"][0] for array in (model[N], base[N])]
    assert buffers[0] == buffers[1], "the same memory"
    linear = session.model.layers[0].self_attn.q_proj
    linear.weight = linear.weight * 0
    mx.eval(linear.weight)
    assert source(["Who?"], ["Aye, lad."]) == before


def test_an_answer_with_a_special_token_is_measured_and_scores_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [Answer("Aye, lad.<|im_start|>", 5, "eos"), *ANSWERS[1:]]
    monkeypatch.setattr(generation, "generate", lambda session, prompts, **more: answers)
    evaluate.evaluate(session, session.curriculum.topics, "sft")
    samples = [record.event for record in read_journal(session.run.journal) if isinstance(record.event, Sample)]
    assert (samples[0].health, samples[0].scores["voice"]) == ("special_tokens", 0.0)


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
