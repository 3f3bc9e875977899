"""Trains one topic: SFT, evaluation, gate, DPO, evaluation, verdict. Rolls back a phase that harms."""

import time

from engine.adapters import fingerprint
from engine.contract.journal.events import Decided, Evaluated, TopicFinished, TopicStarted
from engine.contract.vocabulary import START, Stage, Verdict
from engine.data.topic import Topic
from engine.evaluation import estimates, evaluate
from engine.pipeline import decisions
from engine.pipeline.decisions import Decision
from engine.rules.enforce import CHECKS, require
from engine.runtime.history import TopicHistory
from engine.training.phases import adapter_events, phase, settle
from engine.training.phases.dpo import PHASE as DPO
from engine.training.phases.dpo import train_dpo, undo
from engine.training.phases.sft import PHASE as SFT
from engine.training.phases.sft import train_sft
from engine.training.session import Session


def train_topic(session: Session, topic: Topic, before: Evaluated, done: TopicHistory) -> tuple[Verdict, str]:
    """Trains one attempt at a topic. Returns its verdict and the reason.

    `before` is the base model's evaluation. `done` is the part of this attempt that an earlier process completed.
    """
    attempt = done.attempt
    declared = session.ledger.declared
    with CHECKS.timed():
        found = fingerprint.fingerprint(fingerprint.frozen_digests(session.model))
    require("ledger-declares", found == declared, f"the model is {found}, the ledger declares {declared}")
    if not done.evaluated and not done.settled:
        topics = [item.id for item in session.curriculum.topics]
        number = 1 + topics.index(topic.id) if topic.id in topics else 0  # 0 is the foundation
        session.recorder.say(TopicStarted(topic.id, number, len(topics), attempt, declared), durable=True)
    limits, config = session.config.thresholds, session.config
    start = before
    if any(delta.topic != topic.id for delta in session.ledger.deltas):  # after a restart its own may be there, too
        start = done.evaluated.get(START) or _evaluate(session, topic, START)
    best, sft, after = _supervised(session, topic, attempt, start, done)
    broke = after if after is not None and sft == "rolled_back" and decisions.collapsed(start, after) else None
    seen = done.evaluated.get(DPO)  # evaluated by an earlier process
    session.collapsed = broke is not None or (seen is not None and decisions.collapsed(best, seen))
    if sft == "rolled_back":
        _decide(session, topic, Decision("skip_dpo", "SFT was rolled back; there is nothing to sharpen"))
    elif phase.resuming(session, topic.id, attempt, DPO):  # DPO was decided before the checkpoint was written
        best = _preferred(session, topic, attempt, best)
    elif DPO not in done.settled:
        decision = decisions.gate(
            best, config.dpo, limits, config.adapters.strategy, session.dpo_rolled_back, bool(topic.pairs)
        )
        _decide(session, topic, decision)
        if decision.decision == "run_dpo":
            best = _preferred(session, topic, attempt, best)
        elif session.attached is not None:
            settle.commit(session, session.attached)
    elif done.settled[DPO] == "kept":
        best = done.evaluated[DPO]
    elif session.attached is not None:  # shared: `_supervised` has trained it again
        settle.commit(session, session.attached)
    in_model = any(delta.topic == topic.id for delta in session.ledger.deltas)
    return decisions.verdict(best, limits, in_model, broke)


def _supervised(
    session: Session, topic: Topic, attempt: int, start: Evaluated, done: TopicHistory
) -> tuple[Evaluated, str, Evaluated | None]:
    """Runs SFT, or takes its result from an earlier process.

    Returns the evaluation to continue from, `kept` or `rolled_back`, and the evaluation after SFT, if there was one.
    """
    shared = session.config.adapters.strategy == "shared"
    if SFT in done.settled:
        kept = done.settled[SFT] == "kept"
        return (done.evaluated[SFT] if kept else start), done.settled[SFT], done.evaluated.get(SFT)
    if done.settled.get(DPO) == "kept" or phase.resuming(session, topic.id, attempt, DPO):
        after = done.evaluated[SFT]
        return after, "kept", after  # a shared adapter: its SFT is inside the DPO phase's checkpoint or delta
    attached = train_sft(session, topic, attempt)
    if DPO in done.settled:  # shared: its DPO was rolled back, and the process died before SFT was committed
        return done.evaluated[SFT], "kept", done.evaluated[SFT]
    after = _evaluate(session, topic, SFT)
    changes = estimates.changes(session.scored, topic.id, start.stage, SFT)
    decision = decisions.after_phase(start, after, changes, session.config.thresholds)
    _decide(session, topic, decision)
    if decision.decision == "roll_back":
        settle.set_aside(session, attached)
        return start, "rolled_back", after
    if not shared:
        settle.commit(session, attached)
    return after, "kept", after


def _preferred(session: Session, topic: Topic, attempt: int, sft: Evaluated) -> Evaluated:
    """Runs DPO. Returns the evaluation of the state that is kept."""
    shared = session.config.adapters.strategy == "shared"
    attached = train_dpo(session, topic, attempt, session.attached)
    after = _evaluate(session, topic, DPO, sft)
    changes = estimates.changes(session.scored, topic.id, SFT, DPO)
    margin = estimates.margin(session.scored, topic.id, session.config.dpo.beta)
    decision = decisions.after_dpo(sft, after, changes, margin, session.config.thresholds)
    session.collapsed |= decisions.collapsed(sft, after)
    _decide(session, topic, decision)
    if decision.decision == "keep":
        settle.commit(session, attached)
        session.dpo_rolled_back = 0
        return after
    session.dpo_rolled_back += 1
    if shared:
        undo(session, attached)
        adapter_events.announce(session, attached, "rolled_back")
        attached.phase = SFT
        settle.commit(session, attached)
    else:
        settle.set_aside(session, attached)
    return sft


def finish(session: Session, topic: Topic, verdict: Verdict, reason: str, started: float) -> None:
    """Journals the verdict. `started` is the monotonic time at which the topic began."""
    event = TopicFinished(topic.id, verdict, reason, time.monotonic() - started)
    session.recorder.say(event, durable=True)


def _evaluate(session: Session, topic: Topic, stage: Stage, since: Evaluated | None = None) -> Evaluated:
    found = evaluate.measure(session, [topic], stage, since)
    session.control.boundary()
    return found[topic.id]


def _decide(session: Session, topic: Topic, decision: Decision) -> None:
    session.recorder.say(Decided(topic.id, decision.decision, decision.reason), durable=True)
