"""Validation during a phase: held-out loss and scored answers every few steps, the best step, and an early end."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import mlx.core as mx

from engine.adapters import fingerprint, lora
from engine.contract.journal.events import StepKept, Validated
from engine.contract.settings.config import DpoConfig, SupervisedConfig
from engine.data.batches import collate
from engine.data.forms.row_types import Conversation
from engine.data.topic import Topic
from engine.model import cpu_lanes
from engine.model.arrays import number
from engine.rules.enforce import CHECKS, require
from engine.runtime.control import Stop
from engine.training import checkpoint, checks, examples
from engine.training.checkpoint import Measure
from engine.training.losses import dpo_loss, sft_loss
from engine.training.phases import dpo_reference, phase
from engine.training.session import ActiveAdapter, Session

TEXTS = 4  # held-out texts or pairs that are measured
HELD = "held/"  # prefix in ActiveAdapter.reference of the held-out pairs' log-probabilities before DPO's first step

Settings = SupervisedConfig | DpoConfig
Item = TypeVar("Item")


class Held(NamedTuple):
    """A measurement of held-out texts: the loss, the number of texts, and the margin of pairs."""

    loss: float
    texts: int
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """What a phase of `steps` planned steps measures. `held` is None if the topic has no held-out text."""

    topic: Topic
    settings: Settings
    steps: int
    held: Callable[[], Held] | None


def of_texts(session: Session, topic: Topic, settings: SupervisedConfig, steps: int) -> Validation:
    """Returns the validation of an SFT phase: held-out questions with references, else held-out chosen answers."""
    asked = [Conversation(item.where, item.messages, item.reference) for item in topic.questions]
    chosen = few(asked or [pair.sides[0] for pair in topic.heldout], TEXTS)
    if not chosen or not settings.validate_every:
        return Validation(topic, settings, steps, None)
    rendered, end = examples.render(session, chosen), session.renderer.end_id
    checks.supervised(rendered, collate(rendered, end), end)
    count = sum(example.supervised for example in rendered)

    def held() -> Held:
        total = 0.0
        for piece in session.parts(range(len(rendered))):
            parts = [(collate([rendered[row] for row in rows], end),) for rows in cpu_lanes.split(piece)]
            total += sum(number(sft_loss(logps)) for logps in cpu_lanes.run(session.scorer.logps, parts))
        return Held(total / count, len(rendered))

    return Validation(topic, settings, steps, held)


def of_pairs(session: Session, attached: ActiveAdapter, topic: Topic, settings: DpoConfig, steps: int) -> Validation:
    """Returns the validation of a DPO phase: the loss and the margin of held-out pairs since its first step.

    Their first log-probabilities are in the reference, and thereby in the checkpoint.
    """
    pairs = few(topic.heldout, TEXTS)
    if not pairs or not settings.validate_every:
        return Validation(topic, settings, steps, None)
    chosen = examples.render(session, (pair.sides[0] for pair in pairs))
    rejected = examples.render(session, (pair.sides[1] for pair in pairs))

    def logps() -> tuple[mx.array, mx.array]:
        sums = []
        for piece in session.parts(range(len(pairs))):
            parts = [(dpo_reference.paired(session, chosen, rejected, rows),) for rows in cpu_lanes.split(piece)]
            sums += cpu_lanes.run(session.scorer.row_logps, parts)
        both = mx.concatenate([part.reshape(2, -1) for part in sums], axis=1)
        mx.eval(both)
        return both[0], both[1]

    sides = (f"{HELD}chosen", f"{HELD}rejected")
    if attached.step == 0 and sides[0] not in attached.reference:
        attached.reference |= dict(zip(sides, logps(), strict=True))
    first_chosen, first_rejected = (attached.reference.get(side) for side in sides)
    if first_chosen is None or first_rejected is None:  # the checkpoint of an older engine
        return Validation(topic, settings, steps, None)

    def held() -> Held:
        losses, good, bad = dpo_loss(*logps(), first_chosen, first_rejected, settings.beta)
        return Held(number(losses.mean()), len(pairs), number((good - bad).mean()))

    return Validation(topic, settings, steps, held)


def few(items: Sequence[Item], count: int) -> list[Item]:
    """Returns at most `count` items, spread evenly over the sequence."""
    size = min(count, len(items))
    return [items[place * len(items) // size] for place in range(size)]


def goes_on(session: Session, attached: ActiveAdapter, validation: Validation) -> bool:
    """Takes the measurements that are due after the last step, and tells whether another step follows.

    A checkpoint of the same step may be older than its measurements; a resumed phase then takes them here again.
    """
    try:
        _measure(session, attached, validation)
        session.control.poll()
    except Stop:
        phase.save_checkpoint(session, attached)
        raise
    if attached.step < validation.steps and over(attached.measures, validation.settings):
        phase.save_checkpoint(session, attached)
        return False
    return attached.step < validation.steps


def keep(session: Session, attached: ActiveAdapter, validation: Validation) -> None:
    """Puts the arrays of the step to keep into the adapter. Checks that they are those that were measured."""
    kept = best(attached.measures, validation.settings)
    by = validation.settings.keep
    if by == "last":
        return
    if kept is None:
        session.recorder.warn(
            "keep-last", f"{attached.topic} {attached.phase}: nothing was measured; the last step is kept"
        )
        return
    lora.load_weights(session.model, attached.best)
    with CHECKS.timed():
        found = _digest(session)
        message = f"the adapter is not the one that was measured after step {kept[0]}"
        require("kept-as-measured", found == attached.best_digest, message)
    value = _value(kept, by)
    assert value is not None
    session.recorder.say(
        StepKept(attached.topic, attached.phase, kept[0], attached.step, validation.steps, by, value), durable=True
    )


def best(measures: Sequence[Measure], settings: Settings) -> Measure | None:
    """Returns the best measurement by the setting `keep`, the first of equal ones; by loss if the last step is kept."""
    by: Literal["loss", "score"] = "score" if settings.keep == "score" else "loss"
    known = [
        (value if by == "loss" else -value, found[0], found)
        for found in measures
        if (value := _value(found, by)) is not None
    ]
    return min(known, key=lambda item: item[:2])[2] if known else None


def over(measures: Sequence[Measure], settings: Settings) -> bool:
    """Tells whether the last `patience` measurements were not better than one before them."""
    kept, by = best(measures, settings), settings.keep
    if kept is None or not settings.patience or by == "last":
        return False
    return sum(_value(found, by) is not None for found in measures if found[0] > kept[0]) >= settings.patience


def _measure(session: Session, attached: ActiveAdapter, validation: Validation) -> None:
    settings, step = validation.settings, attached.step
    if not step or (attached.measures and attached.measures[-1][0] == step):
        return
    last = step == validation.steps
    loss_due = validation.held is not None and _due(step, settings.validate_every, last and settings.keep == "loss")
    asks = session.few_scores is not None and bool(validation.topic.questions)
    score_due = asks and _due(step, settings.score_every, last and settings.keep == "score")
    if not (loss_due or score_due):
        return
    started = time.perf_counter()
    before = _state(session)
    held = validation.held() if loss_due and validation.held else None
    score, answers = session.few_scores(session, validation.topic) if score_due and session.few_scores else (None, ())
    after = _state(session)
    require("validation-reads-only", after == before, f"validation after step {step} changed the adapter or the seed")
    attached.measures.append((step, _finite(held.loss) if held else None, _finite(score)))
    found = best(attached.measures, settings)
    is_best = found is not None and found[0] == step
    if is_best and settings.keep != "last":
        attached.best, attached.best_digest = copied(session), after[1]
    session.recorder.say(
        Validated(
            topic=attached.topic,
            phase=attached.phase,
            step=step,
            loss=attached.measures[-1][1],
            score=attached.measures[-1][2],
            best=is_best,
            seconds=time.perf_counter() - started,
            texts=held.texts if held else 0,
            margin=_finite(held.margin) if held else None,
            answers=answers,
        )
    )


def copied(session: Session) -> dict[str, mx.array]:
    """Returns the arrays of the attached adapter; an optimizer step replaces them and does not change them."""
    return dict(lora.adapter_weights(session.model))


@CHECKS.timed()
def _state(session: Session) -> tuple[int, str]:
    return checkpoint.random_state(), _digest(session)


def _digest(session: Session) -> str:
    return fingerprint.fingerprint(fingerprint.digests_of(dict(lora.adapter_weights(session.model))))


def _due(step: int, every: int, at_end: bool) -> bool:
    return every > 0 and (step % every == 0 or at_end)


def _value(measure: Measure, by: str) -> float | None:
    return measure[2] if by == "score" else measure[1]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
