"""Makes batches as a pure function of seed and cursor, so that training resumes exactly.

The cursor is the number of the next micro-batch.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from engine.data.templates.chat_template import Example

PAD_TO = 8  # lengths are rounded up to a multiple of this


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a phase: rows, batch size, micro-batches per step, and the totals of micro-batches and steps."""

    rows: int
    batch: int
    accumulation: int
    micro_batches: int
    steps: int

    def of_step(self, step: int) -> range:
        """Cursors of the micro-batches of optimizer step `step` (from 0); the last step takes what remains."""
        start = step * self.accumulation
        return range(start, min(start + self.accumulation, self.micro_batches))


def plan_epochs(rows: int, batch: int, accumulation: int, epochs: int) -> Plan:
    """Returns the plan for `epochs` passes over the rows."""
    micro = epochs * math.ceil(rows / batch)
    return Plan(rows, batch, accumulation, micro, math.ceil(micro / accumulation))


def plan_steps(rows: int, batch: int, accumulation: int, steps: int) -> Plan:
    """Returns the plan for `steps` optimizer steps; the rows repeat if necessary."""
    return Plan(rows, batch, accumulation, steps * accumulation, steps)


def epoch(plan: Plan, lengths: Sequence[int], seed: str, number: int) -> list[list[int]]:
    """Returns the row numbers of each micro-batch of epoch `number` (from 0).

    A micro-batch holds rows of similar length. The seed determines the order of the micro-batches.
    """
    ordered = sorted(range(plan.rows), key=lambda row: (lengths[row], row))
    groups = [ordered[i : i + plan.batch] for i in range(0, plan.rows, plan.batch)]
    random.Random(f"{seed}/{number}").shuffle(groups)
    return groups


def batch_rows(plan: Plan, lengths: Sequence[int], seed: str, cursor: int) -> list[int]:
    """Returns the row numbers of micro-batch `cursor`, counted across epochs."""
    number, position = divmod(cursor, math.ceil(plan.rows / plan.batch))
    return epoch(plan, lengths, seed, number)[position]


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded rows and their supervised positions.

    - tokens (B, L) int32
    - gather (N,): flat positions in B x L; the hidden state there predicts a supervised token
    - targets (N,): those supervised tokens
    - rows (N,): the row of each of them
    - size is B, supervised is N, total is the number of tokens without padding
    """

    tokens: mx.array
    gather: mx.array
    targets: mx.array
    rows: mx.array
    size: int
    supervised: int
    total: int


def collate(examples: Sequence[Example], pad_id: int, extra_padding: int = 0) -> Batch:
    """Puts rows into one batch.

    Attention is causal, so the content of the padding cannot change a log-probability.
    """
    longest = max(len(example.ids) for example in examples)
    width = math.ceil(longest / PAD_TO) * PAD_TO + extra_padding
    tokens, gather, rows = [], [], []
    targets: list[int] = []
    for row, example in enumerate(examples):
        tokens.append([*example.ids, *[pad_id] * (width - len(example.ids))])
        gather += [row * width + place - 1 for start, stop in example.ranges for place in range(start, stop)]
        targets += example.targets
        rows += [row] * example.supervised
    return Batch(
        tokens=mx.array(tokens, dtype=mx.int32),
        gather=mx.array(gather, dtype=mx.int32),
        targets=mx.array(targets, dtype=mx.int32),
        rows=mx.array(rows, dtype=mx.int32),
        size=len(examples),
        supervised=len(targets),
        total=sum(len(example.ids) for example in examples),
    )
