"""Held-out questions -> answers, generated in one batch -> scores and health; held-out pairs -> preference accuracy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from engine.contract.journal.events import Evaluated, Health, Preparing, Sample, Stage
from engine.data.batches import collate
from engine.data.chat_template import Message
from engine.data.curriculum import Question, Topic
from engine.evaluation import checks as measured
from engine.evaluation import voice_score
from engine.model import cpu_lanes, sentence_embedder
from engine.training import checks, phase
from engine.training.session import Session

PAIR_BATCH = 4  # held-out pairs scored at a time
TOLD = 5.0  # seconds after which a long evaluation says how far it is, again and again


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated answer; `tokens` counts without the end token, `stop` says whether it ended by itself."""

    text: str
    tokens: int
    stop: Literal["eos", "length"]


def evaluate(
    session: Session, topics: Sequence[Topic], stage: Stage, since: Evaluated | None = None, doing: str = ""
) -> dict[str, Evaluated]:
    """Scores topics with the model as it stands, journals every answer, and returns the evaluations by topic.

    `since` is the evaluation with which DPO began, for the margin that it has made on the held-out pairs. `doing` is
    said with how far it is, every TOLD seconds. Time in which a pause held the run still is no part of its seconds.
    """
    clock = session.control.clock
    started, model = clock(), measured.scored_model(session)
    questions = [(topic, question) for topic in topics for question in topic.questions]
    prompts = [session.renderer.prompt_ids([Message("user", question.question)]) for _, question in questions]
    for (_, question), prompt in zip(questions, prompts, strict=True):
        checks.template(session, [Message("user", question.question)], prompt, question.where)
    answers = generate(session, prompts, doing=doing)
    cosines = _cosines(session, [question for _, question in questions], answers)
    scored = list(zip(questions, answers, cosines, strict=True))
    shared = (clock() - started) / len(topics)
    found = {}
    for topic in topics:
        began = clock()
        rows = [(question, answer, cosine) for (owner, question), answer, cosine in scored if owner is topic]
        samples = [_sample(session, topic, stage, *row) for row in rows]
        accuracy, gap = _preferences(session, topic)
        for sample in samples:
            session.recorder.say(sample)
        seconds = shared + clock() - began
        scores = _summarize(session, topic, stage, samples, accuracy, gap, seconds, model)
        if since is not None and gap is not None and since.heldout_gap is not None:
            margin = session.config.dpo.beta * (gap - since.heldout_gap)
            scores = replace(scores, heldout_margin=margin)
        found[topic.id] = scores
        measured.check_scores(session, samples, found[topic.id])
        session.recorder.say(found[topic.id], durable=True)
    mx.clear_cache()
    return found


def measure(
    session: Session, topics: Sequence[Topic], stage: Stage, since: Evaluated | None = None, doing: str = ""
) -> dict[str, Evaluated]:
    """Evaluates, and looks whether every answer is in the journal and the scores are of the model as it stands."""
    before = session.recorder.said["sample"]
    found = evaluate(session, topics, stage, since, doing)
    measured.require_measured(session, topics, found, session.recorder.said["sample"] - before)
    return found


def generate(
    session: Session,
    prompts: Sequence[Sequence[int]],
    limit: int | None = None,
    ticks: list[float] | None = None,
    doing: str = "",
) -> list[Answer]:
    """Greedy answers to prompts of token ids, in one batch; a person's commands are taken between tokens.

    `limit` is the longest answer in tokens; evaluation.max_tokens where it is left out. `ticks` gets the time of each
    decoding step, by the clock that pauses stop. `doing` is said with answers and tokens so far, every TOLD seconds.
    """
    settings, clock = session.config.evaluation, session.control.clock
    limit = limit or settings.max_tokens
    batch = max(1, settings.batch // session.pieces)
    generator = BatchGenerator(
        session.model,
        stop_tokens=[[token] for token in session.renderer.end_ids],
        completion_batch_size=batch,
        prefill_batch_size=min(8, batch),
    )
    try:
        numbers = generator.insert([list(prompt) for prompt in prompts], [limit] * len(prompts))
        tokens: dict[int, list[int]] = {number: [] for number in numbers}
        stops: dict[int, Literal["eos", "length"]] = {}
        firsts: dict[int, int] = {}
        told = clock()
        with cpu_lanes.Pace() as pace:
            while responses := pace.step(generator.next_generated):
                if ticks is not None:
                    ticks.append(clock())
                for response in responses:
                    firsts.setdefault(response.uid, int(response.token))
                    if response.finish_reason is not None:
                        stops[response.uid] = "eos" if response.finish_reason == "stop" else "length"
                    if response.finish_reason != "stop":
                        tokens[response.uid].append(response.token)
                if doing and clock() - told >= TOLD and len(stops) < len(prompts):
                    told, said = clock(), sum(map(len, tokens.values()))
                    progress = f"{len(stops)} of {len(prompts)} answers complete, {said} tokens so far"
                    session.recorder.say(Preparing(f"{doing}, {progress}"))
                session.control.poll()
    finally:
        generator.close()
    answers = [Answer(session.renderer.decode(tokens[n]), len(tokens[n]), stops[n]) for n in numbers]
    measured.check_answers(session, prompts, [firsts[n] for n in numbers], answers, limit)
    return answers


def pair_logps(session: Session, topic: Topic) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """Held-out pairs: log-probabilities of chosen and of rejected (pairs,), then their token counts (pairs,).

    A person's commands are taken between PAIR_BATCH of them and the next.
    """
    pairs = topic.heldout
    chosen = phase.render(session, [(pair.where, pair.messages, pair.chosen) for pair in pairs])
    rejected = phase.render(session, [(pair.where, pair.messages, pair.rejected) for pair in pairs])
    sums: list[mx.array] = []
    groups = [range(start, min(start + PAIR_BATCH, len(pairs))) for start in range(0, len(pairs), PAIR_BATCH)]
    for piece in (piece for group in groups for piece in session.parts(group)):
        session.control.poll()
        batches = [
            collate([side[row] for side in (chosen, rejected) for row in rows], session.renderer.end_id)
            for rows in cpu_lanes.split(piece)
        ]
        sums += cpu_lanes.run(session.scorer.row_logps, [(batch,) for batch in batches])
    both = mx.concatenate([part.reshape(2, -1) for part in sums], axis=1)
    sizes = mx.array([[example.supervised for example in side] for side in (chosen, rejected)])
    mx.eval(both)
    return both[0], both[1], sizes[0], sizes[1]


def _preferences(session: Session, topic: Topic) -> tuple[float | None, float | None]:
    """(accuracy by log-probability per token, mean gap between chosen and rejected in nats); None without pairs."""
    if not topic.heldout:
        return None, None
    chosen, rejected, chosen_tokens, rejected_tokens = pair_logps(session, topic)
    accuracy = (chosen / chosen_tokens > rejected / rejected_tokens).astype(mx.float32).mean().item()
    return accuracy, (chosen - rejected).mean().item()


def _cosines(session: Session, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
    """Cosine between each answer and its reference under MiniLM, negative ones as 0."""
    references = session.embedder.known([question.reference for question in questions])
    cosines = sentence_embedder.cosine(session.embedder.embed([answer.text for answer in answers]), references)
    return [max(0.0, value) if answer.text else 0.0 for value, answer in zip(cosines.tolist(), answers, strict=True)]


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
