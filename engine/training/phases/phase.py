"""Start and progress of a phase, shared by SFT and DPO: attach, checkpoint, count the steps."""

import dataclasses
import time
import zlib
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from engine.adapters import lora
from engine.adapters.lora import AdapterSpec
from engine.adapters.module_weights import growth
from engine.contract.journal.events import Checkpointed
from engine.contract.journal.store import identity
from engine.contract.settings.config import DpoConfig, SupervisedConfig, may_prefer
from engine.contract.vocabulary import Phase
from engine.rules.enforce import require
from engine.training import checkpoint, checks
from engine.training.checkpoint import Checkpoint
from engine.training.optimizer import Update, Updater
from engine.training.phases import adapter_events
from engine.training.session import ActiveAdapter, Session


def resuming(session: Session, topic: str, attempt: int, phase: str) -> bool:
    """Tells whether this phase continues from a checkpoint."""
    saved = session.resume
    return saved is not None and (saved.topic, saved.attempt, saved.phase) == (topic, attempt, phase)


def spec_of(settings: SupervisedConfig | DpoConfig) -> AdapterSpec:
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
    settings: SupervisedConfig | DpoConfig,
    steps: int,
    asked: SupervisedConfig | DpoConfig,
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
        attached.measures, attached.best, attached.best_digest = saved.measures, saved.best, saved.best_digest
        mx.random.seed(saved.rng)
    session.attached = attached
    adapter_events.announce(session, attached, "attached")
    return attached


def continue_adapter(
    session: Session, sft: ActiveAdapter, phase: Phase, settings: DpoConfig, steps: int
) -> ActiveAdapter:
    """Continues in `phase` with the adapter that SFT left attached (strategy shared), and with a new optimizer."""
    updater = Updater(settings, steps)
    fresh: dict[str, Any] = {name: {} for name in ("reference", "best")} | {"measures": [], "best_digest": ""}
    attached = dataclasses.replace(sft, phase=phase, updater=updater, step=0, refused=0, whole=False, **fresh)
    session.attached = attached
    adapter_events.announce(session, attached, "attached")
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
        run=identity(session.run.journal),
        measures=list(attached.measures),
        best=attached.best,
        best_digest=attached.best_digest,
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
        adapter_events.say_rules(session, attached.topic, attached.phase)
