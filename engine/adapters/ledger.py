"""The ledger of committed deltas, which recomputes the model from its unchanged base.

It never edits weights in place: W_now = cast( W_base + sum over committed deltas of scale_k * (A_k @ B_k)^T )
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten
from mlx_lm.utils import load_model

from engine.adapters import fingerprint, lora
from engine.adapters.deltas import UNREADABLE, Delta, delta_norm
from engine.adapters.ledger_file import listed_deltas, load_deltas, read_ledger, write_ledger
from engine.adapters.module_weights import combined, dense, factors, keep, plain_linear
from engine.contract.journal.events import AdapterChanged, Record
from engine.model import cpu_kernels, cpu_lanes
from engine.model.arrays import number, numbers
from engine.model.loading import cast
from engine.rules.enforce import CHECKS, require

ROUNDED = {mx.bfloat16: 1e-2}  # KL allowed for rounding alone; measured on the embedded model: 1.3e-3 to 2.2e-3


@dataclass(frozen=True, slots=True)
class Mark:
    """A saved state of a ledger: its deltas, the number of commits ever made, and the digests of the weights."""

    deltas: tuple[Delta, ...]
    commits: int
    digests: dict[str, str]


@dataclass(frozen=True, slots=True)
class FuseSurvival:
    """How well a fuse kept the learned change.

    - `cosine`: between the intended and the applied change of the weights
    - `kl`: KL divergence between the answers before and after the fuse, in nats per token
    - `limit`: the largest allowed `kl`
    """

    cosine: float
    kl: float
    limit: float


class Ledger:
    """Holds the committed deltas and computes the weights that they change; `base` is a model folder on disk."""

    def __init__(self, model: nn.Module, base: Path, dtype: mx.Dtype) -> None:
        self.model = model
        self.deltas: list[Delta] = []
        self.commits = 0  # ever made in this run, including dropped ones
        self.base = base
        self.dtype = dtype
        self.digests = fingerprint.frozen_digests(model)  # the declared digest of every weight
        self._arrays: dict[str, str] = {}  # digests of the arrays of committed deltas, by name
        self._answers: tuple[str, mx.array] | None = None  # the model's fingerprint, and its answers to the probe

    @property
    def declared(self) -> str:
        """The fingerprint of the model made from the base and the deltas."""
        return fingerprint.fingerprint(self.digests)

    def answers(self, probe: mx.array) -> mx.array:
        """Returns the model's log-probabilities (1, L, V) after each token of the probe; computes them once per model.

        If they are not computed yet, no adapter may be attached.
        """
        if self._answers is None or self._answers[0] != self.declared:
            self._answers = self.declared, log_softmax(self.model, probe)
        return self._answers[1]

    def fuse(self, delta: Delta, probe: mx.array, min_cosine: float, max_kl: float) -> tuple[Delta, FuseSurvival]:
        """Detaches the adapter and commits its delta; returns the committed delta and how well the fuse kept it.

        If the cosine is below `min_cosine` or the KL above its limit, the delta is not fused: the model keeps its
        factors separately. The limit is `max_kl`, or the KL that rounding alone may cause in the model's number type,
        if that is larger. `probe` is (1, L) token ids.

        Raises Broken if the answers of the committed model differ too much from those with the adapter. Also raises it
        if the fingerprint did not change, or if a weight changed that the delta does not touch.
        """
        was, limit = self.digests, max(max_kl, ROUNDED.get(self.dtype, 0.0))
        with CHECKS.timed():
            attached = log_softmax(self.model, probe)
        lora.detach(self.model)
        modules = dict(self.model.named_modules())
        before = {path: modules[path] for path in delta.paths}
        self.deltas.append(delta)
        self._materialize(delta.paths)
        with CHECKS.timed():
            fused = log_softmax(self.model, probe)
            survival = FuseSurvival(self._cosine(delta, before), _kl(attached, fused), limit)
        kl = survival.kl
        if survival.cosine < min_cosine or survival.kl > limit:
            delta = Delta(delta.name, delta.topic, delta.phase, delta.spec, delta.weights, fused=False)
            self.deltas[-1] = delta
            self._materialize(delta.paths)
            fused = log_softmax(self.model, probe)
            kl = _kl(attached, fused)
        require(
            "fuse-moves-weights",
            kl <= limit,
            f"the fuse kept a cosine of {survival.cosine:.4f} (at least {min_cosine:g}) and answers with a KL of "
            f"{kl:.2g} nats a token (at most {limit:.2g})",
            found=kl,
            limit=limit,
        )
        self.commits += 1
        self._arrays[delta.name] = delta.digest()
        self._declare()
        self._answers = self.declared, fused
        self._check_fused(was, delta)
        return delta, survival

    def mark(self) -> Mark:
        """Returns the current state, for `revert`."""
        return Mark(tuple(self.deltas), self.commits, self.digests)

    def revert(self, mark: Mark, paths: Sequence[str]) -> None:
        """Undoes a commit that did not finish; `paths` are the modules that it touched."""
        self.deltas, self.commits, self.digests = list(mark.deltas), mark.commits, mark.digests
        self._materialize(paths)

    def forget(self, topic: str, settled: Collection[str]) -> int:
        """Drops the deltas of a topic whose phase is not in `settled`; returns how many there were.

        The journal does not have these commits, because the process died after the commit and before the journal entry.
        """
        gone = self._take_out(lambda delta: delta.topic == topic and delta.phase not in settled)
        self.commits -= gone
        return gone

    def drop(self, topic: str) -> int:
        """Drops every delta of a topic and recomputes the weights; returns how many there were."""
        return self._take_out(lambda delta: delta.topic == topic)

    def _take_out(self, goes: Callable[[Delta], bool]) -> int:
        gone = [delta for delta in self.deltas if goes(delta)]
        self.deltas = [delta for delta in self.deltas if not goes(delta)]
        self._materialize(sorted({path for delta in gone for path in delta.paths}))
        self._declare()
        return len(gone)

    def restore(self, model: nn.Module, deltas: Sequence[Delta]) -> None:
        """Turns a freshly loaded base into the model that `deltas` describe."""
        self.model, self.deltas = model, list(deltas)
        self._materialize(sorted({path for delta in deltas for path in delta.paths}))
        self._declare()

    def save(self, folder: Path) -> None:
        """Writes ledger.json: the committed adapters of the folder, in order, and the fingerprint of the model."""
        self._arrays = {delta.name: self._arrays.get(delta.name) or delta.digest() for delta in self.deltas}
        rows = [{"name": each.name, "fused": each.fused, "digest": self._arrays[each.name]} for each in self.deltas]
        write_ledger(folder, {"fingerprint": self.declared, "commits": self.commits, "deltas": rows})

    def replay(self, folder: Path) -> None:
        """Restores the model from the folder that `save` wrote.

        Raises Broken if the folder cannot be read or gives a different model. Raises InputError for an invalid name of
        a delta.
        """
        deltas, problem = [], None
        try:
            data = read_ledger(folder)
            deltas = load_deltas(folder, data)
            self.commits = data["commits"]
        except UNREADABLE as error:
            problem = error
        require("files-whole", problem is None, f"what {folder} holds as committed cannot be read: {problem}")
        self.restore(self.model, deltas)
        require(
            "ledger-declares",
            self.declared == data["fingerprint"],
            f"the replayed ledger gives model {self.declared}, it declares {data['fingerprint']}",
        )

    @CHECKS.timed()
    def _declare(self) -> None:
        self.digests = fingerprint.frozen_digests(self.model)

    def _check_fused(self, was: dict[str, str], delta: Delta) -> None:
        """Rules 5 and 6: requires that the fingerprint changed, but no weight that the delta does not touch."""
        now = self.declared
        require(
            "fingerprint-sees", now != fingerprint.fingerprint(was), f"the model is {now} after the commit as before it"
        )
        touched = tuple(f"{path}." for path in delta.paths)
        apart = sorted(name for name, _ in was.items() ^ self.digests.items() if not name.startswith(touched))
        require(
            "frozen-unchanged", not apart, f"the fuse changed weights that it does not touch, among them {apart[:2]}"
        )

    def _materialize(self, paths: Sequence[str]) -> None:
        """Recomputes modules from the base on disk and their deltas; reads only these modules of the base.

        A module without deltas becomes the base's module again, packed if the base is packed. A replay starts from the
        same modules.
        """
        base, _ = load_model(self.base, lazy=True)
        pristine = dict(base.named_modules())
        touching = {path: [delta for delta in self.deltas if f"{path}.lora_a" in delta.weights] for path in paths}
        touched = [path for path in paths if touching[path]]

        def weight(path: str) -> mx.array:
            fused = [delta for delta in touching[path] if delta.fused]
            plain = dense(pristine[path])
            return (plain + combined(fused, path) if fused else plain).astype(self.dtype)

        made = {path: pristine[path] for path in paths if not touching[path]}
        for module in made.values():
            cast(module, self.dtype)
        for path, array in zip(touched, cpu_lanes.each(weight, touched), strict=True):
            kept = [delta for delta in touching[path] if not delta.fused]
            plain = plain_linear(pristine[path], array)
            made[path] = keep(plain, *factors(kept, path)) if kept else plain
        self.model.update_modules(tree_unflatten(list(made.items())))
        mx.eval(self.model.parameters())
        self.model.freeze()
        self.model.eval()
        mx.clear_cache()

    def _cosine(self, delta: Delta, before: dict[str, nn.Module]) -> float:
        """Returns the cosine between the intended and the applied change, over all touched modules together.

        The intended change BA is never computed. Its dot product with the applied change G is <BA, G> = <B, G A^T>.
        """
        modules = dict(self.model.named_modules())

        def products(path: str) -> mx.array:
            out, inner = delta.factors(path)
            applied = dense(modules[path]) - dense(before[path])  # here, so that only a few are in fp32 at a time
            flat = applied.reshape(1, -1)  # for its square as a product: 10 x faster, and MLX's long sums lose 2e-4
            return mx.stack([(out * (applied @ inner.swapaxes(-1, -2))).sum(), (flat @ flat.T).sum()])

        dot, square = numbers(mx.stack(cpu_lanes.each(products, delta.paths)).sum(axis=0))
        norm = delta_norm(delta.weights, delta.spec.scale)
        return min(1.0, dot / max(norm * math.sqrt(square), 1e-30))  # rounding can give a value above 1


@CHECKS.timed()
def require_listed(folder: Path, ledger: Ledger) -> None:
    """Rule 29: requires that ledger.json lists the deltas in the model, and the model's fingerprint."""
    found, wanted = listed_deltas(folder), [delta.name for delta in ledger.deltas]
    require(
        "committed-on-disk",
        found == wanted and read_ledger(folder)["fingerprint"] == ledger.declared,
        f"ledger.json lists {len(found)} deltas, committed are {len(wanted)}; or its fingerprint is another",
    )


@CHECKS.timed()
def require_ledger(folder: Path, ledger: Ledger, records: Iterable[Record] = ()) -> None:
    """Rule 8: requires that ledger.json in `folder`, the last entry in the journal and the model agree.

    If there is no ledger.json, the model must be the base. `records` is the run's journal; pass it only if it must
    already agree.
    """
    stated: list[str] = []
    for record in records:
        if isinstance(record.event, AdapterChanged):
            stated = [record.event.model_fingerprint]
    if (folder / "ledger.json").exists():
        stated.append(read_ledger(folder)["fingerprint"])
    elif ledger.deltas:
        stated.append("the base")
    require(
        "ledger-has-the-last",
        set(stated) <= {ledger.declared},
        f"the model is {ledger.declared}; journal and ledger.json have {' and '.join(stated)}",
    )


def log_softmax(model: Any, probe: mx.array) -> mx.array:
    logits: mx.array = model(probe).astype(mx.float32)
    logits = logits - logits.max(axis=-1, keepdims=True)
    logps = logits - mx.log(cpu_kernels.exp(logits).sum(axis=-1, keepdims=True))
    mx.eval(logps)
    return logps


def _kl(p: mx.array, q: mx.array) -> float:
    """Returns the KL divergence of two (…, V) log-distributions, averaged over positions, in nats."""
    return number(mx.maximum((cpu_kernels.exp(p) * (p - q)).sum(axis=-1).mean(), 0.0))
