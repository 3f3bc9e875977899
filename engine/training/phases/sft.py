"""Training loop of the SFT (supervised) phase of a topic.

dpo.py has the same structure and, if possible, the same lines.
"""

import time

import mlx.core as mx

from engine.contract.journal.events import PhaseStarted, Step
from engine.contract.vocabulary import Phase
from engine.data.batches import Batch, batch_rows, collate, epoch, plan_epochs
from engine.data.topic import Topic
from engine.model import cpu_lanes
from engine.training import checks
from engine.training.examples import render, tokens_of
from engine.training.losses import sft_loss
from engine.training.optimizer import accumulate
from engine.training.phases import phase, validation
from engine.training.phases.replay import replayed_rows
from engine.training.session import ActiveAdapter, Session

PHASE: Phase = "sft"


def train_sft(session: Session, topic: Topic, attempt: int) -> ActiveAdapter:
    """Trains a new adapter on the topic's rows and leaves it attached. Raises Broken if a rule does not hold."""
    settings, say = session.sft_settings(topic), session.recorder.say
    seed = str(phase.seed_of(session, topic.id, attempt, PHASE))
    replayed = replayed_rows(session, topic, seed)
    learned = (*topic.sft, *replayed)
    checks.held_out(session, learned)
    examples = render(session, (row.conversation(settings.answers) for row in learned))
    plan = plan_epochs(len(examples), settings.batch, settings.accumulation, settings.epochs)
    lengths = [len(example.ids) for example in examples]
    for rows in epoch(plan, lengths, seed, 0):
        mine = [examples[row] for row in rows]
        checks.supervised(mine, collate(mine, session.renderer.end_id), session.renderer.end_id)
    mx.reset_peak_memory()
    if not phase.resuming(session, topic.id, attempt, PHASE):
        say(PhaseStarted(topic.id, PHASE, plan.steps, len(examples), *tokens_of(examples), len(replayed)))
    attached = phase.attach(session, topic.id, attempt, PHASE, settings, plan.steps, settings)
    session.control.on_pause = lambda: phase.save_checkpoint(session, attached)

    held = validation.of_texts(session, topic, settings, plan.steps)

    def loss(batch: Batch) -> tuple[mx.array]:
        return (sft_loss(session.scorer.logps(batch, learning=True)),)

    while validation.goes_on(session, attached, held):
        started = time.perf_counter()
        micro = [batch_rows(plan, lengths, seed, cursor) for cursor in plan.of_step(attached.step)]
        chosen = [part for rows in micro for part in session.parts(rows)]
        batches = [
            [(collate([examples[row] for row in part], session.renderer.end_id),) for part in cpu_lanes.split(rows)]
            for rows in chosen
        ]
        supervised = sum(batch.supervised for parts in batches for (batch,) in parts)
        gradients, (mean,) = accumulate(session.model, loss, batches, supervised)
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
                tokens=sum(batch.total for parts in batches for (batch,) in parts),
                supervised_tokens=supervised,
                seconds=time.perf_counter() - started,
                peak_bytes=mx.get_peak_memory(),
            )
        )
        phase.note_update(session, attached, update, [learned[row].where for rows in chosen for row in rows])
        if attached.step % session.config.run.checkpoint_every == 0 or attached.step == plan.steps:
            phase.save_checkpoint(session, attached)
    validation.keep(session, attached, held)
    checks.trained(session, attached, plan.steps, settings)
    return attached
