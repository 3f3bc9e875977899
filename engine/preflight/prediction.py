"""Audits the rows and predicts the duration at the start of every run (the cheap part of a preflight)."""

import time
from collections.abc import Sequence

from engine.adapters import fingerprint
from engine.contract.journal import events as e
from engine.contract.journal.events import Predicted
from engine.contract.journal.live import live_records
from engine.contract.journal.store import records
from engine.data.batches import collate
from engine.data.forms.row_types import Question, SftRow
from engine.evaluation.generation import generate
from engine.model import cpu_lanes
from engine.preflight.forecast import STEP, Rates, as_answered, of_topics, refined
from engine.preflight.token_audit import TopicAudit, summed, works
from engine.runtime.history import read_history
from engine.training.session import Session

ROWS = 2  # rows in the timed forward pass
FEW = 4  # tokens per timed answer; the first one is computed with its prompt
PREDICTIONS = 2  # predictions per run
LOOKS = 6  # a phase fingerprints the frozen weights about 6 times; its other overhead takes no more time


class DurationPredictor:
    """Predicts a run's duration twice: after the base model is scored, and more precisely after the first topic."""

    def __init__(self, session: Session, topics: Sequence[TopicAudit], began: float) -> None:
        """Journals the audit of the topics, once per run.

        `began` is the monotonic time at which the run began, without the time between two processes.
        """
        self._session = session
        self._began = began
        self._works = works(session.curriculum, topics, session.renderer, session.config)
        found, audited, self._said = summed(session.curriculum, topics), False, 0
        self.rendered = found.rendered  # digest of the tokens of all rows and questions
        for record in records(session.run.journal):
            audited = audited or (isinstance(record.event, e.Audited) and bool(record.event.rendered))
            self._said += isinstance(record.event, Predicted)
        if not audited:
            session.recorder.say(found)
            if found.cut:
                where = ", ".join([place for topic in topics for place in topic.cut][:3])
                limit = session.config.model.max_length
                session.recorder.warn(
                    "audit", f"{found.cut} rows do not fit model.max_length = {limit}, among them {where}"
                )

    def at_start(self, before: dict[str, e.Evaluated]) -> None:
        """Predicts from one forward pass and a few decoded tokens. `before` are the base model's evaluations."""
        limit = self._session.config.evaluation.max_tokens
        self._works = {topic: as_answered(work, before[topic].cut, limit) for topic, work in self._works.items()}
        self._exam = sum(before[topic.id].seconds for topic in self._session.curriculum.topics)
        if self._said < PREDICTIONS:
            self._guess = guess(self._session)
        if self._said == 0:
            self._say(self._guess, "one forward pass and a few tokens of answers")

    def after_topic(self) -> None:
        """Predicts from the steps and evaluations of the first topic, when it is done."""
        if self._said < PREDICTIONS:
            rates = refined(self._works, self._guess, records(self._session.run.journal))
            self._say(rates, "the steps and evaluations of the first topic")

    def _say(self, rates: Rates, basis: str) -> None:
        self._said += 1
        status = self._session.control.status
        left = [work for topic, work in self._works.items() if status[topic] == "pending"]
        if left:
            begun = bool(self._session.ledger.deltas)
            span = of_topics(left, rates, self._session.config, begun, self._exam)
            waited = read_history(live_records(self._session.run.journal)).waited
            passed = time.monotonic() - self._began - waited
            self._session.recorder.say(Predicted(passed + span.seconds, passed + span.least, basis))


def guess(session: Session) -> Rates:
    """Estimates rates before anything is trained. A training step is assumed to cost STEP forward passes."""
    topic = session.curriculum.topics[0]
    forward = forward_rate(session, topic.sft[:ROWS])
    decode = decode_rate(session, topic.questions, FEW)
    started = time.perf_counter()
    fingerprint.frozen_digests(session.model)
    phase = LOOKS * (time.perf_counter() - started)
    return Rates(STEP * forward, STEP * forward, forward, decode, phase)


def forward_rate(session: Session, rows: Sequence[SftRow]) -> float:
    """Measures seconds per token in one forward pass over the first batch of rows, in lanes as in a training step."""
    settings, limit = session.config.sft, session.config.model.max_length
    asked = [row.conversation(settings.answers) for row in rows[: settings.batch]]
    examples = [session.renderer.example(row.messages, row.answer, limit, row.since) for row in asked]
    batches = [collate(part, session.renderer.end_id) for part in cpu_lanes.split(examples)]
    started = time.perf_counter()
    cpu_lanes.run(session.scorer.logps, [(batch,) for batch in batches])
    return (time.perf_counter() - started) / sum(batch.total for batch in batches)


def decode_rate(session: Session, questions: Sequence[Question], tokens: int) -> float:
    """Measures seconds per decoding step if these questions are answered together. Decodes `tokens` tokens each."""
    prompts = [session.renderer.prompt_ids(question.messages) for question in questions]
    ticks: list[float] = []
    generate(session, prompts, tokens, ticks)
    return (ticks[-1] - ticks[0]) / max(1, len(ticks) - 1)
