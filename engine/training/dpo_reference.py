"""What DPO compares with: log-probabilities under the model as the phase begins, and how it is seen that they stay."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import mlx.core as mx

from engine.adapters import fingerprint, lora
from engine.data.batches import Batch, collate
from engine.data.chat_template import Example
from engine.model import cpu_lanes
from engine.model.arrays import number
from engine.rules.enforce import CHECKS, require
from engine.training.session import Attached, Session

START = "start/"  # the adapter as DPO began, in Attached.reference
WITNESS = "witness"  # log-probabilities (N,) of one answer's tokens, alone, as DPO began, likewise
SEEN = 8  # of its first tokens are looked at again after the last step
TOLERANCE = {mx.float32: 1e-4, mx.float16: 2e-2, mx.bfloat16: 5e-2}  # relative, between equal log-probabilities


def paired(session: Session, chosen: Sequence[Example], rejected: Sequence[Example], rows: Sequence[int]) -> Batch:
    """Chosen answers in the first half of the batch, rejected ones in the second."""
    both = [*(chosen[row] for row in rows), *(rejected[row] for row in rows)]
    return collate(both, session.renderer.end_id)


def measure(
    session: Session,
    chosen: Sequence[Example],
    rejected: Sequence[Example],
    groups: Sequence[Sequence[int]],
    visited: int,
) -> dict[str, mx.array]:
    """Log-probabilities `chosen` and `rejected` (pairs,) under the model as it stands; NaN where no step asks for it.

    `groups` are the micro-batches in which the pairs are trained on, each pair in one: in them, and by the kernels of
    training, the first step finds the very same numbers, also where a bfloat16 sum depends on what is computed with it.
    Measured are the first `visited` of them, to which training comes, and the one with the answer that rules 10 and 11
    look at. With them the adapter as it stands, and that answer's log-probabilities alone. A person's commands are
    taken between two micro-batches.
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
    """(count,) with the numbers of `parts`, which are those of `rows`, at their places, and NaN at all others."""
    whole = mx.full((count,), math.nan)
    whole[mx.array(rows)] = mx.concatenate(parts)
    return whole


def _as_in_training(score: Callable[[Batch], mx.array], batch: Batch) -> mx.array:
    """The score of a batch, not to be differentiated, and yet by the kernels that training takes.

    On a GPU MLX has a fused attention for what is not differentiated; in bfloat16 an answer comes out up to two nats
    different there.
    """
    (_, found), _ = mx.value_and_grad(lambda unused: (unused, score(batch)))(mx.zeros(()))
    return found


def start_of(attached: Attached) -> dict[str, mx.array]:
    """The adapter's arrays as DPO began."""
    return {name.removeprefix(START): a for name, a in attached.reference.items() if name.startswith(START)}


@CHECKS.timed()
def digest(attached: Attached) -> str:
    """One hash over all that DPO compares with."""
    return fingerprint.fingerprint(fingerprint.digests_of(attached.reference))


@CHECKS.timed()
def check(
    session: Session, attached: Attached, chosen: Sequence[Example], rejected: Sequence[Example], begun: str
) -> None:
    """Rule 10 after the last step; `begun` is the digest as DPO began.

    The reference in use is that of an answer alone before step 1, and with the adapter of before step 1 that answer
    begins as likely as it did.
    """
    require("reference-fixed", digest(attached) == begun, "what DPO compares with is not what it began with")
    _require_as_alone("reference-fixed", session, chosen, rejected, attached.reference)
    side, row, example = _shortest(chosen, rejected)
    beginning = dataclasses.replace(example, ids=example.ids[: example.prompt + SEEN])
    trained = dict(lora.adapter_weights(session.model))
    lora.load_weights(session.model, start_of(attached))
    now = number(_as_in_training(session.scorer.row_logps, collate([beginning], session.renderer.end_id)))
    lora.load_weights(session.model, trained)
    before = number(attached.reference[WITNESS][:SEEN].sum())
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
    """Rules 10 and 11: the shortest answer, alone and padded further, is as likely as `reference` has it."""
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
    """Nats by which rounding alone may make two log-probabilities differ."""
    return max(TOLERANCE.get(session.ledger.dtype, 5e-2) * max(abs(found), abs(expected)), 1e-3)
