"""The preflight's self-test: two real training steps of each phase, on the longest rows."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from engine.contract.journal.events import Phase, Step
from engine.contract.journal.store import records
from engine.contract.settings.config import may_prefer
from engine.contract.vocabulary import PHASES
from engine.data.forms.row_types import Conversation
from engine.data.topic import Topic
from engine.preflight.forecast import Rates
from engine.preflight.prediction import decode_rate, forward_rate
from engine.training.phases import phase, settle
from engine.training.phases.dpo import train_dpo
from engine.training.phases.sft import train_sft
from engine.training.session import Session

STEPS = 2  # only the second is timed: on a GPU the first one compiles
UNVALIDATED: dict[str, Any] = {"validate_every": 0, "score_every": 0, "keep": "last", "patience": 0}
TOKENS = 48  # tokens per timed answer


@dataclass(frozen=True, slots=True)
class PhaseTrial:
    """Result of a phase that held every rule.

    `seconds` and `tokens` are those of its last step. `losses` has the loss of each step. `peak_bytes` is MLX's peak.
    """

    phase: Phase
    steps: int
    seconds: float
    tokens: int
    losses: tuple[float, ...]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of the self-test: the phases, the measured rates, and the expected peak memory of MLX in bytes.

    `peak_bytes` includes `growth`: the bytes by which a quantized base grows until every trained module is committed.
    """

    phases: tuple[PhaseTrial, ...]
    rates: Rates
    peak_bytes: int
    growth: int


def run_trial(session: Session) -> Trial:
    """Runs the self-test. Raises Broken if a rule does not hold. The session cannot be used afterwards."""
    config, topic = session.config, heaviest(session)
    session.config = dataclasses.replace(
        config,
        sft=dataclasses.replace(config.sft, epochs=STEPS, **UNVALIDATED),
        dpo=dataclasses.replace(config.dpo, steps=STEPS, **UNVALIDATED),
        run=dataclasses.replace(config.run, checkpoint_every=1),
    )
    forward = forward_rate(session, topic.sft)
    growth = to_come = phase.bytes_still_to_grow(session)
    peaks = [mx.get_peak_memory() + to_come]
    started = time.perf_counter()
    attached = train_sft(session, topic, 1)
    around = time.perf_counter() - started
    peaks.append(mx.get_peak_memory() + to_come)
    decode = decode_rate(session, topic.questions, TOKENS)
    started = time.perf_counter()
    if config.adapters.strategy != "shared":
        settle.commit(session, attached)
        to_come = phase.bytes_still_to_grow(session)
    around += time.perf_counter() - started
    peaks.append(mx.get_peak_memory() + to_come)
    if may_prefer(config):
        attached = train_dpo(session, topic, 1, session.attached)
        settle.roll_back(session, attached, "rolled_back")
        peaks.append(mx.get_peak_memory() + to_come)
    steps = [record.event for record in records(session.run.journal) if isinstance(record.event, Step)]
    phases = tuple(_phase(name, found) for name in PHASES if (found := [s for s in steps if s.phase == name]))
    sft, dpo = phases[0], phases[-1]
    rates = Rates(
        sft=sft.seconds / sft.tokens,
        dpo=dpo.seconds / dpo.tokens,
        forward=forward,
        decode=decode,
        phase=max(0.0, around - sum(step.seconds for step in steps if step.phase == sft.phase)),
    )
    return Trial(phases, rates, max(peaks), growth)


def _phase(name: Any, steps: list[Step]) -> PhaseTrial:
    last = steps[-1]
    losses, peak = tuple(step.loss for step in steps), max(step.peak_bytes for step in steps)
    return PhaseTrial(name, len(steps), last.seconds, last.tokens, losses, peak)


def heaviest(session: Session) -> Topic:
    """Builds a topic from the longest rows of all topics, enough for one optimizer step of each phase.

    No step of a run needs more memory than these rows.
    """
    topics, config = session.curriculum.topics, session.config

    def length(row: Conversation) -> int:
        return session.renderer.length(row.messages, row.answer, config.model.max_length, row.since)

    rows = [row for topic in topics for row in topic.sft]
    rows.sort(key=lambda row: -length(row.conversation(config.sft.answers)))
    pairs = [pair for topic in topics for pair in topic.pairs]
    pairs.sort(key=lambda pair: -max(map(length, pair.sides)))
    return dataclasses.replace(
        topics[0],
        sft=tuple(rows[: config.sft.batch * config.sft.accumulation]),
        pairs=tuple(pairs[: config.dpo.batch * config.dpo.accumulation]),
        heldout=(),
        questions=max((topic.questions for topic in topics), key=len),
    )
