"""The rules of a phase, each looked at where it can break: rows, checkpoint, supervised tokens, steps, weights."""

import math
from collections.abc import Sequence

import mlx.core as mx

from engine.adapters import deltas, fingerprint, lora
from engine.adapters.ledger import log_softmax
from engine.contract.settings.config import DpoConfig, SftConfig
from engine.data import leaks
from engine.data.batches import Batch
from engine.data.chat_template import Example
from engine.data.rows import Pair, SftRow
from engine.model.arrays import integers, number
from engine.rules.enforce import CHECKS, require
from engine.training.checkpoint import Checkpoint
from engine.training.session import Attached, Session

MOVED = 1e-12  # norm of the change above which an adapter has moved at all


@CHECKS.timed()
def held_out(session: Session, rows: Sequence[SftRow | Pair]) -> None:
    """Rule 19, of the very rows that are trained on now: none holds a held-out question or answer."""
    leak = next(leaks.leaks_of(rows, session.curriculum.topics), None)
    require("questions-held-out", leak is None, leak or "")


@CHECKS.timed()
def as_declared(session: Session) -> dict[str, str]:
    """Digests of the frozen weights before attach; rule 8: they are the ledger's. It knows what they answer then."""
    found, declared = fingerprint.frozen_digests(session.model), session.ledger.digests
    astray = sorted(name for name, _ in found.items() ^ declared.items())
    require("ledger-declares", not astray, f"weights differ from the ledger's as a phase begins: {astray[:2]}")
    session.ledger.answers(session.probe)
    return found


@CHECKS.timed()
def as_asked(session: Session, asked: SftConfig | DpoConfig) -> None:
    """Rules 3 to 5 of a fresh adapter, by the settings themselves: its modules, layers, rank and scale."""
    found = lora.adapter_modules(session.model)
    lora.require_exactly(session.model, asked, set(found))
    scales, wanted = {float(module.scale) for module in found.values()}, asked.alpha / asked.rank
    message = f"the adapter is scaled by {sorted(scales)}, expected alpha / rank = {wanted:g}"
    require("requested-modules", scales == {wanted}, message)


def checkpoint(saved: Checkpoint, seed: int) -> None:
    """Rule 27: a checkpoint has its adapter, both moments of the optimizer for each array, and as many steps.

    Its steps saw the batches of `seed`, which is the phase's.
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
    """Rule 12: what is supervised is each answer and one end token, exactly; a cut row has no end token."""
    expected = [token for example in examples for token in example.ids[example.prompt :]]
    counts = sum(example.answer_tokens + 1 for example in examples if not example.cut)
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
def trained(session: Session, attached: Attached, steps: int) -> float:
    """Rules 14, 6, 3 and 1 at the end of the steps; returns the norm of the change."""
    done = attached.step - attached.refused
    require(
        "steps-as-planned",
        attached.step == steps and done >= 1 and int(attached.updater.optimizer.step.item()) == done,
        f"{done} of {steps} planned steps were counted, {attached.updater.optimizer.step.item()} by the optimizer",
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


@CHECKS.timed()
def frozen(session: Session, attached: Attached) -> None:
    """Rule 6: raises Broken that names a frozen parameter that changed."""
    now = fingerprint.frozen_digests(session.model)
    changed = sorted(name for name in attached.frozen.keys() | now.keys() if attached.frozen.get(name) != now.get(name))
    message = f"{len(changed)} frozen parameters changed, among them {changed[:2]}"
    require("frozen-unchanged", not changed, message)


@CHECKS.timed()
def silent(session: Session) -> None:
    """Rule 7: after detach the model answers the probe, bit for bit, as it did before attach."""
    ledger = session.ledger
    same = mx.array_equal(log_softmax(ledger.model, session.probe), ledger.answers(session.probe)).item()
    require("detach-restores", bool(same), "the probe's logits after detach differ from those before attach")
