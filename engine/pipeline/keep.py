"""Keeps a rolled-back adapter because a person asked for it: commits it as any other, and scores the topic again."""

import time

from engine.adapters import lora
from engine.adapters.committed_model import load_rolled_back
from engine.contract.errors import InputError
from engine.contract.journal.events import TopicFinished
from engine.contract.vocabulary import PREFERENCE, Phase, Verdict
from engine.data.topic import Topic
from engine.evaluation import evaluate
from engine.pipeline import decisions
from engine.training import checks
from engine.training.optimizer import Updater
from engine.training.phases import adapter_events, settle
from engine.training.session import ActiveAdapter, Session


def commit_rolled_back(session: Session, topic: Topic, part: Phase) -> None:
    """Commits the adapter of a phase that was rolled back and set aside. No adapter may be attached.

    Warns if it was trained on another model than the present one. Raises InputError if the adapter is missing or
    damaged, and Broken if a rule does not hold; then nothing is committed.
    """
    event = session.set_aside.find(topic.id, part)
    if event is None:
        raise InputError(f"{topic.id} {part}: it is not set aside; set aside are: {session.set_aside.listed}")
    delta = load_rolled_back(session.run, event)
    if (now := session.ledger.declared) != event.model_fingerprint:
        session.recorder.warn(
            "kept",
            f"{topic.id} {part} was trained on model {event.model_fingerprint}, and is now added to model {now}: "
            "its effect may differ from what was scored when it was rolled back",
        )
    frozen = checks.frozen_as_in_ledger(session)
    made = lora.attach(session.model, delta.spec, 0)  # the seed does not matter, the weights are replaced
    expected = lora.expected_count(made, delta.spec.rank)
    updater = Updater(session.config.dpo if part in PREFERENCE else session.sft_settings(topic), 1)
    attached = ActiveAdapter(topic.id, 1, part, delta.spec, updater, frozen, len(made), expected, {}, whole=True)
    session.attached = attached
    lora.load_weights(session.model, delta.weights)
    adapter_events.announce(session, attached, "attached")
    settle.commit(session, attached)
    if part in PREFERENCE:
        session.dpo_rolled_back = 0


def score_kept(session: Session, topic: Topic, part: Phase, started: float) -> None:
    """Scores a topic whose rolled-back phase was kept, and journals its verdict. `started` is monotonic."""
    found = evaluate.measure(session, [topic], part)[topic.id]
    word, why = decisions.verdict(found, session.config.thresholds)
    say_kept(session, topic, part, word, why, started)


def say_kept(session: Session, topic: Topic, part: Phase, word: Verdict, why: str, started: float) -> None:
    """Journals the verdict of a topic whose rolled-back phase was kept."""
    reason = f"{part} was rolled back, and kept by a person: {why}"
    event = TopicFinished(topic.id, word, reason, time.monotonic() - started, kept=part)
    session.recorder.say(event, durable=True)
