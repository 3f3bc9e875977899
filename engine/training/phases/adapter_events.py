"""Journals the state of an adapter with its numbers, and the results of rule checks."""

from typing import Any

from engine.adapters import lora
from engine.adapters.deltas import Delta
from engine.adapters.ledger import FuseSurvival
from engine.adapters.lora import AdapterSpec
from engine.contract.journal.events import AdapterChanged, RulesChecked
from engine.contract.vocabulary import AdapterState, Phase
from engine.rules.enforce import CHECKS
from engine.training.session import ActiveAdapter, Session


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
    event = changed(
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


def changed(session: Session, spec: AdapterSpec, **more: Any) -> AdapterChanged:
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
