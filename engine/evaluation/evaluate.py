"""Held-out questions -> answers, generated in one batch -> scores and health; held-out pairs -> preference accuracy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import mlx.core as mx

from engine.contract.journal.events import Evaluated, Health, Sample, Stage
from engine.data.chat_template import Message
from engine.data.curriculum import Topic
from engine.data.rows import Question
from engine.evaluation import checks, generation, pairs, voice_score
from engine.evaluation.generation import Answer
from engine.model import sentence_embedder
from engine.model.arrays import numbers
from engine.training import examples
from engine.training.session import Session


def evaluate(
    session: Session, topics: Sequence[Topic], stage: Stage, since: Evaluated | None = None, doing: str = ""
) -> dict[str, Evaluated]:
    """Scores topics with the model as it stands, journals every answer, and returns the evaluations by topic.

    `since` is the evaluation with which DPO began, for the margin that it has made on the held-out pairs. `doing` is
    said with how far it is, every TOLD seconds. Time in which a pause held the run still is no part of its seconds.
    """
    clock = session.control.clock
    started, model = clock(), checks.scored_model(session)
    questions = [(topic, question) for topic in topics for question in topic.questions]
    prompts = [session.renderer.prompt_ids([Message("user", question.question)]) for _, question in questions]
    for (_, question), prompt in zip(questions, prompts, strict=True):
        examples.template(session, [Message("user", question.question)], prompt, question.where)
    answers = generation.generate(session, prompts, doing=doing)
    cosines = _cosines(session, [question for _, question in questions], answers)
    scored = list(zip(questions, answers, cosines, strict=True))
    shared = (clock() - started) / len(topics)
    found = {}
    for topic in topics:
        began = clock()
        rows = [(question, answer, cosine) for (owner, question), answer, cosine in scored if owner is topic]
        samples = [_sample(session, topic, stage, *row) for row in rows]
        accuracy, gap = pairs.preferences(session, topic)
        for sample in samples:
            session.recorder.say(sample)
        seconds = shared + clock() - began
        scores = _summarize(session, topic, stage, samples, accuracy, gap, seconds, model)
        if since is not None and gap is not None and since.heldout_gap is not None:
            margin = session.config.dpo.beta * (gap - since.heldout_gap)
            scores = replace(scores, heldout_margin=margin)
        found[topic.id] = scores
        checks.check_scores(session, samples, found[topic.id])
        session.recorder.say(found[topic.id], durable=True)
    mx.clear_cache()
    return found


def measure(
    session: Session, topics: Sequence[Topic], stage: Stage, since: Evaluated | None = None, doing: str = ""
) -> dict[str, Evaluated]:
    """Evaluates, and looks whether every answer is in the journal and the scores are of the model as it stands."""
    before = session.recorder.said["sample"]
    found = evaluate(session, topics, stage, since, doing)
    checks.require_measured(session, topics, found, session.recorder.said["sample"] - before)
    return found


def _cosines(session: Session, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
    """Cosine between each answer and its reference under MiniLM, negative ones as 0; takes commands meanwhile."""
    embedder, poll = session.embedder, session.control.poll
    references = embedder.known([question.reference for question in questions], poll)
    cosines = sentence_embedder.cosine(embedder.embed([answer.text for answer in answers], poll), references)
    return [max(0.0, value) if answer.text else 0.0 for value, answer in zip(numbers(cosines), answers, strict=True)]


def _sample(session: Session, topic: Topic, stage: Stage, question: Question, answer: Answer, cosine: float) -> Sample:
    score = voice_score.score(session.curriculum.profile, answer.text, session.renderer.special_tokens)
    named = voice_score.named(question.concepts, answer.text)
    concepts = len(named) / len(question.concepts) if question.concepts else None
    return Sample(
        topic=topic.id,
        stage=stage,
        question=question.question,
        reference=question.reference,
        answer=answer.text,
        tokens=answer.tokens,
        stop=answer.stop,
        markers=score.markers,
        violations=score.violations,
        scores={"accuracy": cosine, "voice": score.score, "concepts": concepts, **score.components},
        health=_health(score.health),
        quotes=score.quotes,
    )


def _summarize(
    session: Session,
    topic: Topic,
    stage: Stage,
    samples: Sequence[Sample],
    preference_accuracy: float | None,
    gap: float | None,
    seconds: float,
    model: str,
) -> Evaluated:
    def mean(name: str) -> float:
        values = [value for sample in samples if (value := sample.scores[name]) is not None]
        return sum(values) / len(values)

    sick = Counter(sample.health for sample in samples if sample.health != "ok")
    health: Health = sick.most_common(1)[0][0] if 2 * sum(sick.values()) >= len(samples) else "ok"
    named = [sample.scores["concepts"] for sample in samples if sample.scores["concepts"] is not None]
    return Evaluated(
        topic=topic.id,
        stage=stage,
        accuracy=mean("accuracy"),
        voice=mean("voice"),
        combined=(mean("accuracy") + mean("voice")) / 2,
        components={group.name: mean(group.name) for group in session.curriculum.profile.groups},
        preference_accuracy=preference_accuracy,
        health=health,
        seconds=seconds,
        concepts=mean("concepts") if named else None,
        heldout_gap=gap,
        cut=sum(sample.stop == "length" for sample in samples),
        questions=len(samples),
        model_fingerprint=model,
    )


def _health(word: str) -> Health:
    return next(known for known in get_args(Health) if known == word)
