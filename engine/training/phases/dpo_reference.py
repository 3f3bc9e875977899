"""DPO's reference: log-probabilities from before the first step, and checks that they stay fixed."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import mlx.core as mx

from engine.adapters import fingerprint, lora
from engine.data.batches import Batch, collate
from engine.data.templates.chat_template import Example
from engine.model import cpu_lanes
from engine.model.arrays import number
from engine.rules.enforce import CHECKS, require
from engine.training.session import ActiveAdapter, Session

START = "start/"  # prefix in ActiveAdapter.reference of the adapter's arrays before DPO's first step
WITNESS = "witness"  # key there of one answer's token log-probabilities (N,), computed alone before the first step
SEEN = 8  # number of that answer's first tokens that are checked again after the last step
TOLERANCE = {mx.float32: 1e-4, mx.float16: 2e-2, mx.bfloat16: 5e-2}  # relative, between equal log-probabilities


def paired(session: Session, chosen: Sequence[Example], rejected: Sequence[Example], rows: Sequence[int]) -> Batch:
    """Returns a batch with the chosen answers in its first half and the rejected answers in its second half."""
    both = [*(chosen[row] for row in rows), *(rejected[row] for row in rows)]
    return collate(both, session.renderer.end_id)


def measure(
    session: Session,
    chosen: Sequence[Example],
    rejected: Sequence[Example],
    groups: Sequence[Sequence[int]],
    visited: int,
) -> dict[str, mx.array]:
    """Measures the log-probabilities `chosen` and `rejected` (pairs,) under the current model.

    `groups` are the micro-batches of training; each pair is in exactly one. The reference is computed in the same
    micro-batches and with the same kernels as training. So the first step finds exactly the same numbers, although a
    bfloat16 sum depends on the rest of its batch.

    Only the first `visited` micro-batches are measured, because training reaches no others. The micro-batch with the
    answer that rules 10 and 11 check is always measured. Pairs that were not measured are NaN.

    The result also has the current adapter (prefix START) and the log-probabilities of that answer alone (WITNESS).
    Commands from the user are handled between two micro-batches.
    """
    row = _shortest(chosen, rejected)[1]
    wanted = [group for place, group in enumerate(groups) if place < visited or row in group]
    order, sums = [], []
    for piece in (piece for group in wanted for piece in session.parts(group)):
        session.control.poll()
        order += piece
        batches = [paired(session, chosen, rejected, rows) for rows in cpu_lanes.split(piece)]
        sums += cpu_lanes.run(_as_in_training, [(session.scorer.row_logps, batch) for batch in batches])
    found = {
        "chosen": _placed([part[: len(part) // 2] for part in sums], order, len(chosen)),
        "rejected": _placed([part[len(part) // 2 :] for part in sums], order, len(chosen)),
        WITNESS: _alone(session, chosen, rejected),
    }
    _require_as_alone("padding-is-nothing", session, chosen, rejected, found)
    start = {f"{START}{name}": array for name, array in lora.adapter_weights(session.model).items()}
    mx.eval(found, start)
    return found | start


def _placed(parts: list[mx.array], rows: list[int], count: int) -> mx.array:
    """Returns an array (count,) with the values of `parts` at the positions `rows`, and NaN at all others."""
    whole = mx.full((count,), math.nan)
    whole[mx.array(rows)] = mx.concatenate(parts)
    return whole


def _as_in_training(score: Callable[[Batch], mx.array], batch: Batch) -> mx.array:
    """Scores a batch with the kernels that training uses, although no gradient is needed.

    On a GPU, MLX uses a fused attention kernel if nothing is differentiated. In bfloat16 that kernel gives results for
    an answer that differ by up to two nats.
    """
    (_, found), _ = mx.value_and_grad(lambda unused: (unused, score(batch)))(mx.zeros(()))
    return found


def start_of(attached: ActiveAdapter) -> dict[str, mx.array]:
    """Returns the adapter's arrays from before DPO's first step."""
    return {name.removeprefix(START): a for name, a in attached.reference.items() if name.startswith(START)}


@CHECKS.timed()
def digest(attached: ActiveAdapter) -> str:
    """Returns one hash over the whole DPO reference."""
    return fingerprint.fingerprint(fingerprint.digests_of(attached.reference))


@CHECKS.timed()
def check(
    session: Session, attached: ActiveAdapter, chosen: Sequence[Example], rejected: Sequence[Example], begun: str
) -> None:
    """Checks rule 10 after the last step. `begun` is the reference's digest before the first step.

    Three things must hold. The reference has not changed. It agrees with the log-probability of one answer that was
    computed alone before step 1. With the adapter from before step 1, the first tokens of that answer are still as
    likely as they were then.
    """
    require("reference-fixed", digest(attached) == begun, "what DPO compares with is not what it began with")
    _require_as_alone("reference-fixed", session, chosen, rejected, attached.reference)
    side, row, example = _shortest(chosen, rejected)
    start, stop = example.ranges[0]
    seen = min(SEEN, stop - start)
    beginning = dataclasses.replace(example, ids=example.ids[: start + seen], prompt=start, earlier=())
    trained = dict(lora.adapter_weights(session.model))
    lora.load_weights(session.model, start_of(attached))
    now = number(_as_in_training(session.scorer.row_logps, collate([beginning], session.renderer.end_id)))
    lora.load_weights(session.model, trained)
    before = number(attached.reference[WITNESS][:seen].sum())
    found = f"the first tokens of {side} answer {row + 1} have log-probability {now:.6g} after the last step"
    numbers = {"found": abs(now - before), "limit": _tolerance(session, now, before)}
    require(
        "reference-fixed", _near(session, now, before), f"{found}, and had {before:.6g} before the first", **numbers
    )


@CHECKS.timed()
def _alone(session: Session, chosen: Sequence[Example], rejected: Sequence[Example]) -> mx.array:
    example = _shortest(chosen, rejected)[2]
    logps = _as_in_training(session.scorer.logps, collate([example], session.renderer.end_id, extra_padding=1))
    mx.eval(logps)
    return logps


def _require_as_alone(
    rule: str,
    session: Session,
    chosen: Sequence[Example],
    rejected: Sequence[Example],
    reference: dict[str, mx.array],
) -> None:
    """Checks rules 10 and 11: the shortest answer, alone and with extra padding, is as likely as in `reference`."""
    side, row, _ = _shortest(chosen, rejected)
    alone, used = number(reference[WITNESS].sum()), number(reference[side][row])
    where = f"the log-probability of {side} answer {row + 1}"
    message = f"{where} is {alone:.6g} alone, padded, and {used:.6g} as it is used"
    numbers = {"found": abs(alone - used), "limit": _tolerance(session, alone, used)}
    require(rule, _near(session, alone, used), message, **numbers)


def _shortest(chosen: Sequence[Example], rejected: Sequence[Example]) -> tuple[str, int, Example]:
    sides = (("chosen", chosen), ("rejected", rejected))
    answers = ((side, row, example) for side, rows in sides for row, example in enumerate(rows))
    return min(answers, key=lambda answer: len(answer[2].ids))


def _near(session: Session, found: float, expected: float) -> bool:
    return math.isfinite(found) and abs(found - expected) <= _tolerance(session, found, expected)


def _tolerance(session: Session, found: float, expected: float) -> float:
    """Returns the difference in nats that rounding alone may cause between two log-probabilities."""
    return max(TOLERANCE.get(session.ledger.dtype, 5e-2) * max(abs(found), abs(expected)), 1e-3)
