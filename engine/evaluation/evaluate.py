"""Evaluates topics: generates answers to held-out questions, scores and journals them.

Held-out pairs give the preference accuracy.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import mlx.core as mx
from msgspec.structs import replace

from engine.contract.journal.events import Evaluated, Health, Sample, Stage
from engine.contract.vocabulary import BASE, STAGES, START
from engine.contract.wording import several
from engine.data.forms.row_types import Question
from engine.data.topic import Topic
from engine.evaluation import checks, estimates, generation, language, markers, pairs
from engine.evaluation.generation import Answer
from engine.evaluation.score import scorer
from engine.evaluation.score.answer_score import AnswerScore
from engine.evaluation.score.parts.closeness import cosines
from engine.evaluation.score.texts import Text
from engine.evaluation.scoring import Scoring, scoring_of
from engine.training import examples
from engine.training.session import Session

DIGITS = 4  # decimal places of a clause's probability in the journal

Row = tuple[Question, Answer]


def evaluate(
    session: Session, topics: Sequence[Topic], stage: Stage, since: Evaluated | None = None, doing: str = ""
) -> dict[str, Evaluated]:
    """Scores topics with the current model, journals every answer, and returns the evaluations by topic.

    `since` is the evaluation before DPO; the margin on the held-out pairs is computed from it. `doing` is journaled
    with the progress every TOLD seconds. Time during a pause does not count in the evaluation's seconds.
    """
    clock = session.control.clock
    started, model = clock(), checks.scored_model(session)
    asked = {question.messages: question for topic in topics for question in topic.questions}
    prompts = [session.renderer.prompt_ids(messages) for messages in asked]
    for question, prompt in zip(asked.values(), prompts, strict=True):
        examples.template(session, question.messages, prompt, question.where)
    answers = dict(zip(asked, generation.generate(session, prompts, doing=doing), strict=True))
    own = [topic for topic in topics if not topic.parts]  # the foundation's questions are those of its parts
    base = [Text(topic.id, each.question, answers[each.messages].text) for topic in own for each in topic.questions]
    scoring = scoring_of(session, base if stage == BASE else ())
    loss = None if stage == START else language.language_loss(session)  # `start` is the end of an earlier topic
    earlier = session.scored.language
    shared = (clock() - started) / len(topics)
    found, scored = {}, dict[str, list[Sample]]()
    for topic in topics:
        began = clock()
        for part in topic.parts or (topic,):
            if part.id not in scored:  # a topic's answers have the same scores in the topic and in the foundation
                rows = [(question, answers[question.messages]) for question in part.questions]
                scored[part.id] = _samples(session, scoring, part, stage, rows)
        samples = [replace(each, topic=topic.id) for part in topic.parts or (topic,) for each in scored[part.id]]
        accuracy, gaps = pairs.preferences(session, topic)
        for sample in samples:
            session.recorder.say(sample)
        seconds = shared + clock() - began
        scores = _summarize(session, topic, stage, samples, accuracy, gaps, seconds, model)
        scores = replace(scores, language_loss=loss)
        gap = scores.heldout_gap
        if since is not None and gap is not None and since.heldout_gap is not None:
            margin = session.config.dpo.beta * (gap - since.heldout_gap)
            scores = replace(scores, heldout_margin=margin)
        found[topic.id] = scores
        checks.check_scores(scoring, topic.owners, samples, scores)
        session.recorder.say(scores, durable=True)
        session.scored.add(scores, samples)
    mx.clear_cache()
    what = topics[0].id if len(topics) == 1 else several(len(own), "topic")
    where, base_loss = f"{what} {STAGES[stage].label}", session.scored.base_language
    if loss is not None and (problem := language.warning(where, loss, earlier, base_loss)):
        session.recorder.warn("language", problem)
    return found


def measure(
    session: Session, topics: Sequence[Topic], stage: Stage, since: Evaluated | None = None, doing: str = ""
) -> dict[str, Evaluated]:
    """Evaluates, then checks that every answer is in the journal and that the scores belong to the current model."""
    before = session.recorder.said["sample"]
    found = evaluate(session, topics, stage, since, doing)
    checks.require_measured(session, topics, found, session.recorder.said["sample"] - before)
    return found


def _samples(session: Session, scoring: Scoring, topic: Topic, stage: Stage, rows: Sequence[Row]) -> list[Sample]:
    """Scores a topic's answers together, because an answer may be the same as another one.

    The base model's answers get no relevance. To that model its own answers are the most likely, so the number would
    be compared with nothing.
    """
    asked = [scorer.Answer(topic.id, question.question, answer.text, question.reference) for question, answer in rows]
    scores = scoring.score(asked, relevance=stage != BASE)
    near = _cosines(scoring, [question for question, _ in rows], [answer for _, answer in rows])
    return [
        _sample(session, scoring, topic, stage, *row, score, cosine)
        for row, score, cosine in zip(rows, scores, near, strict=True)
    ]


def _cosines(scoring: Scoring, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
    """Returns the cosine between each answer and its reference under MiniLM; 0 if it is negative or no answer."""
    spoken = [place for place, answer in enumerate(answers) if answer.text.strip()]
    found = [0.0] * len(answers)
    if spoken and scoring.tools.embed is not None:
        texts = [answers[place].text for place in spoken]
        vectors = scoring.tools.embed([*texts, *(questions[place].reference for place in spoken)])
        near = cosines(vectors[: len(spoken)], vectors[len(spoken) :])
        for place, cosine in zip(spoken, near.tolist(), strict=True):
            found[place] = 0.0 if cosine < 0 else cosine
    return found


def _sample(
    session: Session,
    scoring: Scoring,
    topic: Topic,
    stage: Stage,
    question: Question,
    answer: Answer,
    score: AnswerScore,
    cosine: float,
) -> Sample:
    style = scoring.scorer.style
    shares, found = markers.find_markers(session.curriculum.profile, answer.text)
    named = markers.named(question.concepts, answer.text)
    confused = dict(score.violations.confused)
    return Sample(
        topic=topic.id,
        stage=stage,
        question=question.question,
        reference=question.reference,
        answer=answer.text,
        tokens=answer.tokens,
        stop=answer.stop,
        markers=found,
        violations=(*confused, *score.violations.avoided),
        scores={
            "voice": score.voice,
            "style": score.style.value,
            "closeness": score.closeness,
            "relevance": score.relevance,
            "accuracy": cosine,
            "concepts": len(named) / len(question.concepts) if question.concepts else None,
            **shares,
        },
        health=_health(score.health.state),
        quotes=confused,
        reason=score.reason,
        void=score.void,
        clauses=tuple((clause.text, round(clause.probability, DIGITS)) for clause in score.style.clauses),
        telling=tuple(answer.text[start:end] for start, end in style.telling_spans(topic.id, answer.text)),
    )


def _summarize(
    session: Session,
    topic: Topic,
    stage: Stage,
    samples: Sequence[Sample],
    preference_accuracy: float | None,
    gaps: tuple[float, ...],
    seconds: float,
    model: str,
) -> Evaluated:
    def mean(name: str) -> float | None:
        values = estimates.values(samples, name)
        return math.fsum(values) / len(values) if values else None

    sick = Counter(sample.health for sample in samples if sample.health != "ok")
    health: Health = sick.most_common(1)[0][0] if 2 * sum(sick.values()) >= len(samples) else "ok"
    voice, closeness = mean("voice") or 0.0, mean("closeness")
    return Evaluated(
        topic=topic.id,
        stage=stage,
        accuracy=mean("accuracy") or 0.0,
        voice=voice,
        combined=voice if closeness is None else (voice + closeness) / 2,
        components={group.name: mean(group.name) or 0.0 for group in session.curriculum.profile.groups},
        preference_accuracy=preference_accuracy,
        health=health,
        seconds=seconds,
        concepts=mean("concepts"),
        heldout_gap=math.fsum(gaps) / len(gaps) if gaps else None,
        cut=sum(sample.stop == "length" for sample in samples),
        questions=len(samples),
        model_fingerprint=model,
        style=mean("style"),
        closeness=closeness,
        relevance=mean("relevance"),
        loops=sum(sample.health == "repeating" for sample in samples),
        void=sum(sample.void is not None for sample in samples),
        intervals=estimates.intervals(session.scored, stage, topic.id, samples),
        heldout_gaps=gaps,
        heldout_pairs=len(gaps),
    )


def _health(word: str) -> Health:
    return next(known for known in get_args(Health) if known == word)
