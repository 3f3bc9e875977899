"""Rule checks of a training phase: rows, checkpoint, supervised tokens, steps, weights.

Each rule is checked at the point at which it can break.
"""

import math
from collections.abc import Sequence

import mlx.core as mx

from engine.adapters import deltas, fingerprint, lora
from engine.adapters.ledger import log_softmax
from engine.contract.settings.config import DpoConfig, SupervisedConfig
from engine.data.batches import Batch
from engine.data.forms.row_types import Pair, SftRow
from engine.data.heldout import leaks
from engine.data.templates.chat_template import Example
from engine.model.arrays import integers, number
from engine.rules.enforce import CHECKS, require
from engine.training.checkpoint import Checkpoint
from engine.training.session import ActiveAdapter, Session

MOVED = 1e-12  # an adapter counts as changed if the norm of its change is larger than this


@CHECKS.timed()
def held_out(session: Session, rows: Sequence[SftRow | Pair]) -> None:
    """Checks rule 19 on the rows of this phase: no row contains a held-out question or answer."""
    leak = next(leaks.leaks_of(rows, session.curriculum.asked), None)
    require("questions-held-out", leak is None, leak or "")


@CHECKS.timed()
def frozen_as_in_ledger(session: Session) -> dict[str, str]:
    """Returns the digests of the frozen weights before attach. Checks rule 8: they equal the ledger's digests.

    Also lets the ledger record the model's answer to the probe. `detached_as_before` compares with it after detach.
    """
    found, declared = fingerprint.frozen_digests(session.model), session.ledger.digests
    astray = sorted(name for name, _ in found.items() ^ declared.items())
    require("ledger-declares", not astray, f"weights differ from the ledger's as a phase begins: {astray[:2]}")
    session.ledger.answers(session.probe)
    return found


@CHECKS.timed()
def adapter_matches_settings(session: Session, asked: SupervisedConfig | DpoConfig) -> None:
    """Checks rules 3 to 5 on a new adapter: its modules, layers, rank and scale match the settings."""
    found = lora.adapter_modules(session.model)
    lora.require_exactly(session.model, asked, set(found))
    scales, wanted = {float(module.scale) for module in found.values()}, asked.alpha / asked.rank
    message = f"the adapter is scaled by {sorted(scales)}, expected alpha / rank = {wanted:g}"
    require("requested-modules", scales == {wanted}, message)


def checkpoint(saved: Checkpoint, seed: int) -> None:
    """Checks rule 27 on a checkpoint that is about to be resumed.

    It must contain the adapter and both optimizer moments of each array. The optimizer must have counted as many steps
    as were applied. The batches must follow from `seed`, the seed of the phase.
    """
    same = saved.seed == seed
    require("resume-exact", same, f"the checkpoint's batches follow from seed {saved.seed}, the phase's from {seed}")
    done = int(number(saved.optimizer["step"])) if "step" in saved.optimizer else -1
    moments = sum(name.endswith((".m", ".v")) for name in saved.optimizer)
    wanted = saved.step - saved.refused
    require(
        "resume-exact",
        done == wanted
        and bool(saved.adapter)
        and moments in ({2 * len(saved.adapter)} if done else {0, 2 * len(saved.adapter)}),
        f"the checkpoint of {wanted} steps has an optimizer of {done} steps and {moments} moments",
    )


@CHECKS.timed()
def supervised(examples: Sequence[Example], batch: Batch, end_id: int) -> None:
    """Checks rule 12: exactly each answer and one end token are supervised. A cut row has no end token."""
    expected = [token for example in examples for start, stop in example.ranges for token in example.ids[start:stop]]
    counts = sum(example.answer_tokens + 1 for example in examples if not example.cut)
    counts += sum(stop - start for example in examples if not example.cut for start, stop in example.earlier)
    counts += sum(example.supervised for example in examples if example.cut)
    ends = all(example.ids[-1] == end_id for example in examples if not example.cut)
    found = integers(batch.targets)
    require(
        "supervised-exactly",
        found == expected and len(found) == counts and ends,
        f"{len(found)} supervised tokens, expected {counts} (each answer and one end token)",
    )
    flat = [*integers(batch.tokens.reshape(-1)), -1]
    places = integers(batch.gather)
    ahead = [flat[place + 1] for place in places] == found
    require("supervised-exactly", ahead, "supervised tokens are not predicted from the token before each")


@CHECKS.timed()
def trained(session: Session, attached: ActiveAdapter, planned: int, settings: SupervisedConfig | DpoConfig) -> float:
    """Checks rules 14, 6, 3 and 1 after the last step. Returns the norm of the adapter's change."""
    steps = _end(attached, planned, settings)
    done = attached.step - attached.refused
    require(
        "steps-as-planned",
        attached.step == steps and done >= 1 and int(attached.updater.optimizer.step.item()) == done,
        f"{done} of {steps} steps were counted, {attached.updater.optimizer.step.item()} by the optimizer",
    )
    norm = deltas.delta_norm(lora.adapter_weights(session.model), attached.spec.scale)
    moved = norm > MOVED and math.isfinite(norm)
    require("steps-as-planned", moved, f"{done} steps moved the adapter by {norm:g}", found=norm)
    targets = set(lora.adapter_modules(session.model))
    lora.require_exactly(session.model, attached.spec, targets)
    require(
        "requested-modules",
        len(targets) == attached.modules,
        f"{len(targets)} adapted modules after training, {attached.modules} before",
    )
    frozen(session, attached)
    attached.whole = True
    return norm


def _end(attached: ActiveAdapter, planned: int, settings: SupervisedConfig | DpoConfig) -> int:
    """Returns the step at which a phase has to end: as planned, or where its measurements use up the patience.

    Counts forward through the measurements, and so checks the loop, which looks back from the last one.
    """
    if not settings.patience or settings.keep == "last":
        return planned
    best, worse = -math.inf, 0
    for step, loss, score in attached.measures:
        value = score if settings.keep == "score" else -loss if loss is not None else None
        if value is None:
            continue
        best, worse = (value, 0) if value > best else (best, worse + 1)
        if worse == settings.patience:
            return step
    return planned


@CHECKS.timed()
def frozen(session: Session, attached: ActiveAdapter) -> None:
    """Checks rule 6. Raises Broken with the names of frozen parameters that changed."""
    now = fingerprint.frozen_digests(session.model)
    changed = sorted(name for name in attached.frozen.keys() | now.keys() if attached.frozen.get(name) != now.get(name))
    message = f"{len(changed)} frozen parameters changed, among them {changed[:2]}"
    require("frozen-unchanged", not changed, message)


@CHECKS.timed()
def detached_as_before(session: Session) -> None:
    """Checks rule 7: after detach the model's logits on the probe equal those before attach, bit for bit."""
    ledger = session.ledger
    same = mx.array_equal(log_softmax(ledger.model, session.probe), ledger.answers(session.probe)).item()
    require("detach-restores", bool(same), "the probe's logits after detach differ from those before attach")
