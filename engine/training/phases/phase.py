"""Start and end of a phase, shared by SFT and DPO: attach, checkpoint, commit, roll back, journal."""

import dataclasses
import shutil
import time
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import mlx.core as mx

from engine.adapters import deltas, ledger, lora
from engine.adapters.deltas import Delta
from engine.adapters.ledger import FuseSurvival
from engine.adapters.lora import AdapterSpec
from engine.adapters.module_weights import growth
from engine.contract.journal.events import AdapterChanged, Checkpointed, RulesChecked
from engine.contract.names import new_delta
from engine.contract.settings.config import DpoConfig, SftConfig, may_prefer
from engine.contract.vocabulary import AdapterState, Phase
from engine.rules.enforce import CHECKS, require
from engine.training import checkpoint, checks
from engine.training.checkpoint import Checkpoint
from engine.training.optimizer import Update, Updater
from engine.training.session import ActiveAdapter, Session


def resuming(session: Session, topic: str, attempt: int, phase: str) -> bool:
    """Tells whether this phase continues from a checkpoint."""
    saved = session.resume
    return saved is not None and (saved.topic, saved.attempt, saved.phase) == (topic, attempt, phase)


def spec_of(settings: SftConfig | DpoConfig) -> AdapterSpec:
    """Returns the adapter specification from a phase's settings."""
    return AdapterSpec(settings.rank, settings.alpha / settings.rank, settings.modules, settings.layers)


def bytes_still_to_grow(session: Session) -> int:
    """Returns the number of bytes by which the model will still grow in this run; 0 if the base is not quantized.

    Every trained module of a quantized base stays dequantized after its commit. No adapter may be attached during
    the call.
    """
    config, specs = session.config, [spec_of(session.config.sft)]
    if session.curriculum.foundation is not None:
        specs.append(spec_of(config.foundation))
    if may_prefer(config) and config.adapters.strategy != "shared":  # else SFT's modules are DPO's
        specs.append(spec_of(config.dpo))
    asked = [lora.requested_modules(session.model, spec) for spec in specs]
    modules = {path: module for found in asked for path, module in found.items()}
    return sum(growth(module, session.ledger.dtype) for module in modules.values())


def seed_of(session: Session, topic: str, attempt: int, phase: str) -> int:
    """Returns the seed of one attempt at one phase of one topic; each has a different seed."""
    return zlib.crc32(f"{session.config.run.seed}/{topic}/{attempt}/{phase}".encode())


def attach(
    session: Session,
    topic: str,
    attempt: int,
    phase: Phase,
    settings: SftConfig | DpoConfig,
    steps: int,
    asked: SftConfig | DpoConfig,
) -> ActiveAdapter:
    """Attaches a new adapter, or restores the checkpoint's adapter, and journals what is trainable.

    `settings` are the phase's settings. `asked` are the adapter's settings; with strategy shared they come from another
    phase.
    """
    frozen = checks.frozen_as_in_ledger(session)
    seed, spec = seed_of(session, topic, attempt, phase), spec_of(asked)
    made = lora.attach(session.model, spec, seed)
    checks.adapter_matches_settings(session, asked)
    expected = lora.expected_count(made, spec.rank)
    updater = Updater(settings, steps)
    attached = ActiveAdapter(topic, attempt, phase, spec, updater, frozen, len(made), expected, {})
    if (saved := take_checkpoint(session, topic, attempt, phase)) is not None:
        found = attached.base
        require("ledger-declares", saved.model == found, f"the checkpoint is of model {saved.model}, this is {found}")
        checks.checkpoint(saved, seed)
        lora.load_weights(session.model, saved.adapter)
        updater.optimizer.state = checkpoint.unflat(saved.optimizer)
        attached.step, attached.refused, attached.reference = saved.step, saved.refused, saved.reference
        mx.random.seed(saved.rng)
    session.attached = attached
    announce(session, attached, "attached")
    return attached


def continue_adapter(
    session: Session, sft: ActiveAdapter, phase: Phase, settings: DpoConfig, steps: int
) -> ActiveAdapter:
    """Continues in `phase` with the adapter that SFT left attached (strategy shared), and with a new optimizer."""
    updater = Updater(settings, steps)
    attached = dataclasses.replace(sft, phase=phase, updater=updater, reference={}, step=0, refused=0, whole=False)
    session.attached = attached
    announce(session, attached, "attached")
    return attached


def take_checkpoint(session: Session, topic: str, attempt: int, phase: str) -> Checkpoint | None:
    """Returns the checkpoint to resume if it belongs to this phase, and only once. Returns None if it does not."""
    saved = session.resume
    if not resuming(session, topic, attempt, phase):
        return None
    session.resume = None
    return saved


def save_checkpoint(session: Session, attached: ActiveAdapter) -> None:
    """Writes a checkpoint of the phase between two optimizer steps, and journals it."""
    started = time.perf_counter()
    state = Checkpoint(
        topic=attached.topic,
        attempt=attached.attempt,
        phase=attached.phase,
        seed=seed_of(session, attached.topic, attached.attempt, attached.phase),
        step=attached.step,
        rng=checkpoint.random_state(),
        refused=attached.refused,
        seq=session.recorder.seq,
        model=attached.base,
        adapter=lora.adapter_weights(session.model),
        optimizer=checkpoint.flat(attached.updater.optimizer.state),
        reference=attached.reference,
    )
    size = checkpoint.save(session.run.checkpoint, state)
    seconds = time.perf_counter() - started
    event = Checkpointed(attached.topic, attached.phase, attached.step, seconds, size)
    session.recorder.say(event, durable=True)


def note_update(session: Session, attached: ActiveAdapter, update: Update, rows: Sequence[str]) -> None:
    """Counts a step and checks rule 28.

    A step that is not finite was not applied; a warning names its rows. A second such step ends the phase.
    """
    attached.step += 1
    where = ", ".join(rows)
    if not update.applied:
        attached.refused += 1
        session.recorder.warn(
            "not-finite", f"{attached.topic} {attached.phase} step {attached.step} was not applied; its rows: {where}"
        )
    message = f"{attached.refused} steps were not finite; the last on {where}"
    require("finite-steps", attached.refused < 2, message, found=attached.refused, limit=1)
    if attached.step == 1:  # shows the user early that the phase started correctly
        say_rules(session, attached.topic, attached.phase)


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
        if name in ledger.listed_deltas(folder):
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
    announce(session, attached, "fused" if delta.fused else "kept_attached", survival=survival, norm=norm)
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
    announce(session, attached, state, aside=aside)
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
        event = _changed(
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


def announce(
    session: Session,
    attached: ActiveAdapter,
    state: AdapterState,
    survival: FuseSurvival | None = None,
    norm: float | None = None,
    aside: Delta | None = None,
) -> None:
    """Journals the adapter's state as the module tree shows it now. `aside` is the adapter if it was set aside."""
    found = lora.adapter_modules(session.model)
    on = bool(found)
    event = _changed(
        session,
        attached.spec,
        topic=attached.topic,
        phase=attached.phase,
        state=state,
        modules=len(found) if on else attached.modules,
        trainable=lora.trainable_count(session.model) if on else 0,
        expected_trainable=attached.expected if on else 0,
        base_fingerprint=attached.base,
        delta_norm=norm,
        fuse_cosine=survival.cosine if survival else None,
        fuse_kl=survival.kl if survival else None,
        fuse_kl_limit=survival.limit if survival else None,
        base_unchanged=None if on else True,
        set_aside=aside.name if aside else "",
        digest=aside.digest() if aside else "",
    )
    session.recorder.say(event, durable=not on)
    session.set_aside.take(event)
    if not on:
        say_rules(session, attached.topic, attached.phase)


def say_rules(session: Session, topic: str | None, phase: Phase | None = None) -> None:
    """Journals the results of all rule checks since the last call, if there were any."""
    event = CHECKS.take(topic, phase, texts=not session.recorder.said[RulesChecked.kind])
    if event is not None:
        session.recorder.say(event)


def _changed(session: Session, spec: AdapterSpec, **more: Any) -> AdapterChanged:
    """Returns the AdapterChanged event with the fields of spec and model that every state has."""
    return AdapterChanged(
        rank=spec.rank,
        scale=spec.scale,
        total=session.parameters,
        model_fingerprint=session.ledger.declared,
        ledger_depth=len(session.ledger.deltas),
        module_names=spec.modules,
        layers=spec.layers or session.layers,
        check_seconds=CHECKS.take_seconds(),
        **more,
    )
