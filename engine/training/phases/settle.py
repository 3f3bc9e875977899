"""End of a phase: commit its adapter, roll it back, or remove what a topic committed earlier."""

import shutil
from typing import Literal

import mlx.core as mx

from engine.adapters import deltas, ledger, ledger_file, lora
from engine.adapters.deltas import Delta
from engine.contract.names import new_delta
from engine.rules.enforce import require
from engine.training import checkpoint, checks
from engine.training.phases import adapter_events
from engine.training.session import ActiveAdapter, Session


def commit(session: Session, attached: ActiveAdapter) -> None:
    """Writes the delta to the disk, fuses it, and only then journals it. Raises Broken if a rule does not hold.

    If anything fails, the model and the ledger are reverted and the delta's folder is deleted.
    """
    require("exception-ends-phase", attached.whole, "the phase did not come to its end, and is not committed")
    checks.frozen(session, attached)  # before the fuse: it rewrites the weights and would hide that they had changed
    weights = dict(lora.adapter_weights(session.model))
    mx.eval(weights)
    name = new_delta(session.ledger.commits + 1, attached.topic, attached.phase)
    delta = Delta(name, attached.topic, attached.phase, attached.spec, weights)
    limits, before, folder = session.config.adapters, session.ledger.mark(), session.run.adapters
    try:
        deltas.save_delta(folder / name, delta, session.model)
        deltas.require_on_disk(folder, delta)
        delta, survival = session.ledger.fuse(delta, session.probe, limits.min_fuse_cosine, limits.max_fuse_kl)
        session.ledger.save(folder)
        ledger.require_listed(folder, session.ledger)
    except Exception:
        session.ledger.revert(before, delta.paths)
        if name in ledger_file.listed_deltas(folder):
            session.ledger.save(folder)
        shutil.rmtree(folder / name, ignore_errors=True)
        raise
    if not delta.fused:
        session.recorder.warn(
            "kept-attached",
            f"{attached.topic} {attached.phase}: this change is below the resolution of the model's number type "
            f"(cosine {survival.cosine:.4f}); it is kept beside the weights in float32",
        )
    norm = deltas.delta_norm(weights, attached.spec.scale)
    adapter_events.announce(
        session, attached, "fused" if delta.fused else "kept_attached", survival=survival, norm=norm
    )
    _close(session)


def set_aside(session: Session, attached: ActiveAdapter) -> None:
    """Rolls the adapter back and sets it aside in the run's folder, where a person can hear and keep it.

    Its folder is on the disk before the journal names it. The oldest adapters that were set aside are deleted after.
    """
    weights = dict(lora.adapter_weights(session.model))
    mx.eval(weights)
    name = new_delta(attached.attempt, attached.topic, attached.phase)
    delta = Delta(name, attached.topic, attached.phase, attached.spec, weights)
    session.run.rolled_back.mkdir(mode=0o700, exist_ok=True)
    deltas.save_delta(session.run.rolled_back / name, delta, session.model)
    roll_back(session, attached, "rolled_back", delta)
    session.set_aside.prune(session.run)


def roll_back(
    session: Session,
    attached: ActiveAdapter,
    state: Literal["rolled_back", "detached"],
    aside: Delta | None = None,
) -> None:
    """Detaches the adapter without a commit. Checks rules 6 and 7: the model is as before attach, bit for bit.

    `aside` is the adapter if it was set aside.
    """
    lora.detach(session.model)
    checks.frozen(session, attached)
    checks.detached_as_before(session)
    adapter_events.announce(session, attached, state, aside=aside)
    _close(session)


def drop(session: Session, topic: str) -> None:
    """Removes a topic's committed deltas from the model before the topic is trained again. Their folders stay on disk.

    The journal is written before ledger.json. If the engine dies between the two, the next engine removes and journals
    the deltas once more.
    """
    gone = [delta for delta in session.ledger.deltas if delta.topic == topic]
    if not gone:
        return
    session.ledger.drop(topic)
    for delta in gone:
        event = adapter_events.changed(
            session,
            delta.spec,
            topic=topic,
            phase=delta.phase,
            state="rolled_back",
            modules=len(delta.paths),
            trainable=0,
            expected_trainable=0,
            base_fingerprint=session.ledger.declared,
        )
        session.recorder.say(event, durable=True)
    session.ledger.save(session.run.adapters)


def _close(session: Session) -> None:
    session.attached = None
    session.control.on_pause = lambda: None
    checkpoint.clear(session.run.checkpoint)
    mx.clear_cache()
