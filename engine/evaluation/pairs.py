"""Scores held-out preference pairs: preference accuracy, and the gap between chosen and rejected."""

import mlx.core as mx

from engine.data.batches import collate
from engine.data.topic import Topic
from engine.model import cpu_lanes
from engine.model.arrays import number, numbers
from engine.training import examples
from engine.training.session import Session

PAIR_BATCH = 4  # held-out pairs scored at a time


def pair_logps(session: Session, topic: Topic) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """Returns the log-probabilities of chosen and of rejected answers (pairs,), then their token counts (pairs,).

    The pairs are scored PAIR_BATCH at a time. Commands from the user are handled between two batches.
    """
    pairs = topic.heldout
    chosen = examples.render(session, (pair.sides[0] for pair in pairs))
    rejected = examples.render(session, (pair.sides[1] for pair in pairs))
    sums: list[mx.array] = []
    groups = [range(start, min(start + PAIR_BATCH, len(pairs))) for start in range(0, len(pairs), PAIR_BATCH)]
    for piece in (piece for group in groups for piece in session.parts(group)):
        session.control.poll()
        batches = [
            collate([side[row] for side in (chosen, rejected) for row in rows], session.renderer.end_id)
            for rows in cpu_lanes.split(piece)
        ]
        sums += cpu_lanes.run(session.scorer.row_logps, [(batch,) for batch in batches])
    both = mx.concatenate([part.reshape(2, -1) for part in sums], axis=1)
    sizes = mx.array([[example.supervised for example in side] for side in (chosen, rejected)])
    mx.eval(both)
    return both[0], both[1], sizes[0], sizes[1]


def preferences(session: Session, topic: Topic) -> tuple[float | None, tuple[float, ...]]:
    """Returns the accuracy by log-probability per token, and each pair's gap between chosen and rejected in nats.

    Without held-out pairs, the accuracy is None.
    """
    if not topic.heldout:
        return None, ()
    chosen, rejected, chosen_tokens, rejected_tokens = pair_logps(session, topic)
    accuracy = (chosen / chosen_tokens > rejected / rejected_tokens).astype(mx.float32).mean()
    return number(accuracy), tuple(numbers(chosen - rejected))
