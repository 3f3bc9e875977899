"""Training loop of the DPO (preference) phase of a topic.

sft.py has the same structure and, if possible, the same lines.
"""

import math
import time

import mlx.core as mx

from engine.adapters import lora
from engine.contract.journal.events import PhaseStarted, Step
from engine.contract.vocabulary import Phase
from engine.data.batches import Batch, batch_rows, collate, epoch, plan_steps
from engine.data.topic import Topic
from engine.model import cpu_lanes
from engine.model.arrays import number
from engine.rules.enforce import require
from engine.training import checks, examples
from engine.training.losses import dpo_loss
from engine.training.optimizer import accumulate
from engine.training.phases import dpo_reference, phase, validation
from engine.training.session import ActiveAdapter, Session

PHASE: Phase = "dpo"
LN2_WITHIN = 1e-3  # tolerance of the first loss around ln 2; its margin may be twice as far from 0
STILL = {mx.float32: 0.2, mx.float16: 0.5, mx.bfloat16: 2.0}  # a smaller margin, in nats, is noise or rounding


def train_dpo(session: Session, topic: Topic, attempt: int, sft: ActiveAdapter | None) -> ActiveAdapter:
    """Trains on the topic's pairs and leaves the adapter attached. Raises Broken if a rule does not hold.

    `sft` is the adapter to continue with (strategy shared). If it is None, a new adapter is attached.
    """
    settings, say = session.config.dpo, session.recorder.say
    checks.held_out(session, topic.pairs)
    chosen = examples.render(session, (pair.sides[0] for pair in topic.pairs))
    rejected = examples.render(session, (pair.sides[1] for pair in topic.pairs))
    plan = plan_steps(len(chosen), settings.batch, settings.accumulation, settings.steps)
    lengths = [max(len(a.ids), len(b.ids)) for a, b in zip(chosen, rejected, strict=True)]
    seed = str(phase.seed_of(session, topic.id, attempt, PHASE))
    groups = epoch(plan, lengths, seed, 0)
    for rows in groups:
        mine = [side[row] for side in (chosen, rejected) for row in rows]
        checks.supervised(mine, collate(mine, session.renderer.end_id), session.renderer.end_id)
    _check_sign(settings.beta)
    mx.reset_peak_memory()
    if not phase.resuming(session, topic.id, attempt, PHASE):
        say(PhaseStarted(topic.id, PHASE, plan.steps, len(chosen), *examples.tokens_of([*chosen, *rejected])))
    if sft is not None:
        attached = phase.continue_adapter(session, sft, PHASE, settings, plan.steps)
    else:
        asked = session.config.sft if session.config.adapters.strategy == "shared" else settings
        attached = phase.attach(session, topic.id, attempt, PHASE, settings, plan.steps, asked)
    if not attached.reference:
        session.control.on_pause = lambda: None  # before the reference is complete there is nothing new to save
        attached.reference = dpo_reference.measure(session, chosen, rejected, groups, plan.micro_batches)
    held = validation.of_pairs(session, attached, topic, settings, plan.steps)
    session.control.on_pause = lambda: phase.save_checkpoint(session, attached)
    reference_chosen, reference_rejected = attached.reference["chosen"], attached.reference["rejected"]
    begun = dpo_reference.digest(attached)

    def loss(batch: Batch, picked: mx.array) -> tuple[mx.array, ...]:
        sums = session.scorer.row_logps(batch, learning=True)
        a, b = sums[: batch.size // 2], sums[batch.size // 2 :]
        losses, a_reward, b_reward = dpo_loss(a, b, reference_chosen[picked], reference_rejected[picked], settings.beta)
        right = (a_reward > b_reward).astype(mx.float32)
        return tuple(value.sum() for value in (losses, right, a_reward, b_reward, a, b))

    while validation.goes_on(session, attached, held):
        started = time.perf_counter()
        micro = [batch_rows(plan, lengths, seed, cursor) for cursor in plan.of_step(attached.step)]
        picked = [part for rows in micro for part in session.parts(rows)]
        batches = [
            [(dpo_reference.paired(session, chosen, rejected, part), mx.array(part)) for part in cpu_lanes.split(rows)]
            for rows in picked
        ]
        count = sum(len(rows) for rows in picked)
        gradients, means = accumulate(session.model, loss, batches, count)
        mean, right, chosen_reward, rejected_reward, chosen_logp, rejected_logp = means
        _check_loss(mean, chosen_reward - rejected_reward, attached.step)
        update = attached.updater.apply(session.model, gradients, mean, attached.step)
        say(
            Step(
                topic=topic.id,
                phase=PHASE,
                step=attached.step + 1,
                of=plan.steps,
                loss=mean,
                lr=update.lr,
                grad_norm=update.grad_norm,
                tokens=sum(batch.total for parts in batches for batch, _ in parts),
                supervised_tokens=sum(batch.supervised for parts in batches for batch, _ in parts),
                seconds=time.perf_counter() - started,
                peak_bytes=mx.get_peak_memory(),
                margin=chosen_reward - rejected_reward,
                preference_accuracy=right,
                chosen_reward=chosen_reward,
                rejected_reward=rejected_reward,
                chosen_logp=chosen_logp,
                rejected_logp=rejected_logp,
            )
        )
        phase.note_update(session, attached, update, [topic.pairs[row].where for rows in picked for row in rows])
        if attached.step == plan.steps:
            _warn_if_still(session, topic.id, (chosen_reward - rejected_reward) / settings.beta)
        if attached.step % session.config.run.checkpoint_every == 0 or attached.step == plan.steps:
            phase.save_checkpoint(session, attached)
    dpo_reference.check(session, attached, chosen, rejected, begun)
    validation.keep(session, attached, held)
    checks.trained(session, attached, plan.steps, settings)
    return attached


def undo(session: Session, attached: ActiveAdapter) -> None:
    """Restores a shared adapter to its state after SFT."""
    lora.load_weights(session.model, dpo_reference.start_of(attached))


def _warn_if_still(session: Session, topic: str, margin: float) -> None:
    """Warns if DPO barely changed its own training pairs: by less than noise, or than the model's dtype rounds away.

    `margin`, in nats, tells how much the chosen answers gained on the rejected answers, measured in the last step.
    """
    if abs(margin) < STILL[session.ledger.dtype]:
        settings, name = session.config.dpo, str(session.ledger.dtype).rpartition(".")[2]
        session.recorder.warn(
            "dpo-still",
            f"{topic}: in DPO's {settings.steps} steps its own chosen answers have gained {margin:.2g} nats on the "
            f"rejected ones, which is nothing in {name}; dpo.learning_rate = {settings.learning_rate:g} is too small",
        )


def _check_sign(beta: float) -> None:
    """Checks rule 9 on a toy pair: the loss falls if the chosen answer gains, and rises if the rejected one gains."""
    still, gained = mx.zeros(1), mx.ones(1)
    pairs = ((gained, still), (still, still), (still, gained))
    better, same, worse = (number(dpo_loss(a, b, still, still, beta)[0]) for a, b in pairs)
    require(
        "dpo-starts-at-ln2",
        better < same < worse,
        f"the DPO loss of a toy pair is {better:.6f} when its chosen answer gains, {same:.6f} when nothing moves and "
        f"{worse:.6f} when its rejected answer gains; it must rise in that order",
    )


def _check_loss(mean: float, margin: float, step: int) -> None:
    """Checks rule 9: no loss is negative, and the first loss is ln 2. Rule 28 handles losses that are not finite.

    A mean loss within 1e-3 of ln 2 has a margin within 2e-3 of 0.
    """
    if math.isfinite(mean):
        require("dpo-starts-at-ln2", mean >= 0, f"the DPO loss is {mean:.4f}; it can never be negative")
        off = abs(mean - math.log(2))
        still = off <= LN2_WITHIN and abs(margin) <= 2 * LN2_WITHIN
        first = f"the first DPO loss is {mean:.4f} with margin {margin:+.4f}, expected ln 2 = {math.log(2):.4f} and 0"
        if step == 0:
            require("dpo-starts-at-ln2", still, first, found=off, limit=LN2_WITHIN)
