"""The ledger: a model is a function of its pristine base and of committed low-rank deltas, recomputed, never edited.

W_now = cast( W_base + sum over committed deltas of scale_k * (A_k @ B_k)^T )
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.utils import load_model

from engine import adapters
from engine.adapters import AdapterSpec
from engine.files import write_file, write_folder
from engine.invariants import require


@dataclass(frozen=True, slots=True)
class Delta:
    """A committed phase: its name (`003-unit-01.chapter-01.topic-02-sft`), topic, phase, spec and adapter arrays.

    `fused` False means that rounding would have lost it: it stays beside the weights, in fp32.
    """

    name: str
    topic: str
    phase: str
    spec: AdapterSpec
    weights: dict[str, mx.array]
    fused: bool = True

    @property
    def paths(self) -> list[str]:
        return sorted({name.rpartition(".")[0] for name in self.weights})

    def change(self, path: str) -> mx.array:
        """The change of one module's weight, (out, in) or (experts, out, in), fp32."""
        a = self.weights[f"{path}.lora_a"].astype(mx.float32)
        b = self.weights[f"{path}.lora_b"].astype(mx.float32)
        return self.spec.scale * ((b @ a) if a.ndim == 3 else (a @ b).T)


@dataclass(frozen=True, slots=True)
class Mark:
    """How a ledger stood: its deltas, how many commits it had ever made, and the fingerprint that it declared."""

    deltas: tuple[Delta, ...]
    commits: int
    declared: str


@dataclass(frozen=True, slots=True)
class Survival:
    """What a fuse kept: cosine between intended and applied change, KL in nats a token between the two outputs."""

    cosine: float
    kl: float


class KeptLinear(nn.Linear):
    """A linear layer with frozen low-rank factors beside its weight: a delta that rounding would have lost."""

    def __init__(self, plain: nn.Linear, a: mx.array, b: mx.array) -> None:
        """a (in, R) and b (R, out), fp32, scales already multiplied in."""
        nn.Module.__init__(self)
        self.weight = plain.weight
        if "bias" in plain:
            self.bias = plain.bias
        self.kept_a, self.kept_b = a, b
        self.freeze()

    def __call__(self, x: mx.array) -> mx.array:
        """x (…, in) -> (…, out)."""
        beside = (x.astype(mx.float32) @ self.kept_a) @ self.kept_b
        return super().__call__(x) + beside.astype(x.dtype)


class Ledger:
    """Holds the committed deltas and makes the model's touched weights from them; `base` is a model folder on disk."""

    def __init__(self, model: nn.Module, base: Path, dtype: mx.Dtype) -> None:
        self.model = model
        self.deltas: list[Delta] = []
        self.commits = 0  # ever made in this run, dropped ones too
        self.base = base
        self.dtype = dtype
        self.declared = adapters.fingerprint(adapters.frozen_digests(model))

    def fuse(self, delta: Delta, probe: mx.array, min_cosine: float, max_kl: float) -> tuple[Delta, Survival]:
        """Takes the attached adapter off and commits its delta; returns it as committed, and what survived.

        Where the cosine is too low or the KL too high for the model's type, the delta is kept beside the weights.
        `probe` is (1, L) token ids. Raises Broken where the fused model answers otherwise than the attached one.
        """
        attached = _log_softmax(self.model, probe)
        adapters.detach(self.model)
        before = {path: dense(self._module(path)) for path in delta.paths}
        self.deltas.append(delta)
        self._materialize(delta.paths)
        survival = Survival(self._cosine(delta, before), _kl(attached, _log_softmax(self.model, probe)))
        if survival.cosine < min_cosine or survival.kl > max_kl:
            delta = Delta(delta.name, delta.topic, delta.phase, delta.spec, delta.weights, fused=False)
            self.deltas[-1] = delta
            self._materialize(delta.paths)
            kept = _kl(attached, _log_softmax(self.model, probe))
            require(
                "fuse-moves-weights",
                kept <= max_kl,
                f"the fuse kept a cosine of {survival.cosine:.4f} (at least {min_cosine:g}) and, beside the weights, "
                f"answers with a KL of {kept:.2g} nats a token (at most {max_kl:g})",
            )
        self.commits += 1
        self._declare()
        return delta, survival

    def mark(self) -> Mark:
        """What `revert` goes back to."""
        return Mark(tuple(self.deltas), self.commits, self.declared)

    def revert(self, mark: Mark, paths: Sequence[str]) -> None:
        """Takes a commit back that did not come to its end; `paths` are the modules that it touched."""
        self.deltas, self.commits, self.declared = list(mark.deltas), mark.commits, mark.declared
        self._materialize(paths)

    def forget(self, topic: str, settled: Collection[str]) -> int:
        """Drops what a topic committed without the journal's knowing: the process died between the two."""
        gone = [delta for delta in self.deltas if delta.topic == topic and delta.phase not in settled]
        self.deltas = [delta for delta in self.deltas if delta.topic != topic or delta.phase in settled]
        self.commits -= len(gone)
        self._materialize(sorted({path for delta in gone for path in delta.paths}))
        self._declare()
        return len(gone)

    def drop(self, topic: str) -> int:
        """Rolls back every delta of a topic by dropping its factors and recomputing; returns how many there were."""
        gone = [delta for delta in self.deltas if delta.topic == topic]
        self.deltas = [delta for delta in self.deltas if delta.topic != topic]
        self._materialize(sorted({path for delta in gone for path in delta.paths}))
        self._declare()
        return len(gone)

    def restore(self, model: nn.Module, deltas: Sequence[Delta]) -> None:
        """Makes a freshly loaded base into the model that `deltas` describe."""
        self.model, self.deltas = model, list(deltas)
        self._materialize(sorted({path for delta in deltas for path in delta.paths}))
        self._declare()

    def save(self, folder: Path) -> None:
        """Writes which adapters of the folder are committed, in order, and the fingerprint that they make."""
        rows = [{"name": delta.name, "fused": delta.fused} for delta in self.deltas]
        data = {"fingerprint": self.declared, "commits": self.commits, "deltas": rows}
        write_file(folder / "ledger.json", (json.dumps(data, indent=1) + "\n").encode())

    def replay(self, folder: Path) -> None:
        """Goes on from what `save` wrote; raises Broken where the model comes out otherwise than declared."""
        data = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
        self.restore(self.model, [load_delta(folder / row["name"], fused=row["fused"]) for row in data["deltas"]])
        self.commits = data["commits"]
        require(
            "ledger-declares",
            self.declared == data["fingerprint"],
            f"the replayed ledger gives model {self.declared}, it declares {data['fingerprint']}",
        )

    def _declare(self) -> None:
        self.declared = adapters.fingerprint(adapters.frozen_digests(self.model))

    def _module(self, path: str) -> Any:
        return dict(self.model.named_modules())[path]

    def _materialize(self, paths: Sequence[str]) -> None:
        """Recomputes modules from the base on disk (read lazily, only what is touched) and the deltas on them."""
        base, _ = load_model(self.base, lazy=True)
        pristine = dict(base.named_modules())
        made = []
        for path in paths:
            weight = dense(pristine[path])
            fused = [delta for delta in self.deltas if delta.fused and path in delta.paths]
            if fused:
                weight = weight + _combined(fused, path)
            plain = plain_linear(pristine[path], weight.astype(self.dtype))
            kept = [delta for delta in self.deltas if not delta.fused and path in delta.paths]
            made.append((path, KeptLinear(plain, *_factors(kept, path)) if kept else plain))
            mx.eval(plain.parameters())
        self.model.update_modules(tree_unflatten(made))
        self.model.freeze()
        self.model.eval()
        mx.clear_cache()

    def _cosine(self, delta: Delta, before: dict[str, mx.array]) -> float:
        """Cosine between the intended and the applied change, over all touched modules together."""
        dot = intended = applied = mx.array(0.0)
        for path, old in before.items():
            wanted, got = delta.change(path), dense(self._module(path)) - old
            dot = dot + (wanted * got).sum()
            intended, applied = intended + wanted.square().sum(), applied + got.square().sum()
            mx.eval(dot, intended, applied)
        return float((dot / mx.maximum(mx.sqrt(intended * applied), 1e-30)).item())


def delta_norm(weights: dict[str, mx.array], scale: float) -> float:
    """Frobenius norm of the change over all modules, from the factors: |AB|^2 = trace(A^T A B B^T)."""
    total = mx.array(0.0)
    for name in sorted(weights):
        if name.endswith(".lora_a"):
            a = weights[name].astype(mx.float32)
            b = weights[f"{name.removesuffix('.lora_a')}.lora_b"].astype(mx.float32)
            if a.ndim == 3:
                a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
            total = total + ((a.swapaxes(-1, -2) @ a) * (b @ b.swapaxes(-1, -2))).sum()
    return float(scale * mx.sqrt(mx.maximum(total, 0.0)).item())


def save_delta(folder: Path, delta: Delta, layers: int) -> None:
    """Writes the delta as an adapter folder that mlx-lm loads; on the disk when this returns."""

    def write(into: Path) -> None:
        mx.save_safetensors(str(into / "adapters.safetensors"), delta.weights, {"format": "mlx"})
        settings = {
            "fine_tune_type": "lora",
            "num_layers": delta.spec.layers or layers,
            "lora_parameters": {
                "rank": delta.spec.rank,
                "scale": delta.spec.scale,
                "dropout": 0.0,
                "keys": sorted({path.split(".layers.")[-1].partition(".")[2] for path in delta.paths}),
            },
            "mindprint": {"topic": delta.topic, "phase": delta.phase, "modules": list(delta.spec.modules)},
        }
        (into / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    write_folder(folder, write)


def load_delta(folder: Path, *, fused: bool) -> Delta:
    """Reads what save_delta wrote."""
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    lora, ours = settings["lora_parameters"], settings["mindprint"]
    spec = AdapterSpec(lora["rank"], lora["scale"], tuple(ours["modules"]), settings["num_layers"])
    weights = dict(mx.load(str(folder / "adapters.safetensors")))
    return Delta(folder.name, ours["topic"], ours["phase"], spec, weights, fused)


def _combined(deltas: Sequence[Delta], path: str) -> mx.array:
    if deltas[0].weights[f"{path}.lora_a"].ndim == 3:
        total = deltas[0].change(path)
        for delta in deltas[1:]:
            total = total + delta.change(path)
        return total
    a, b = _factors(deltas, path)
    return (a @ b).T


def _factors(deltas: Sequence[Delta], path: str) -> tuple[mx.array, mx.array]:
    """Factors of several deltas side by side: (in, sum of ranks) and (sum of ranks, out), scales multiplied in."""
    a = mx.concatenate([delta.weights[f"{path}.lora_a"].astype(mx.float32) for delta in deltas], axis=1)
    b = mx.concatenate([d.spec.scale * d.weights[f"{path}.lora_b"].astype(mx.float32) for d in deltas], axis=0)
    return a, b


def dense(module: Any) -> mx.array:
    """The module's weight in fp32, dequantized where it is quantized; a kept delta counts as weight."""
    if isinstance(module, nn.QuantizedLinear | QuantizedSwitchLinear):
        weight = mx.dequantize(
            module.weight, module.scales, module.get("biases"), module.group_size, module.bits, mode=module.mode
        )
        return weight.astype(mx.float32)
    weight = module.weight.astype(mx.float32)
    return weight + (module.kept_a @ module.kept_b).T if isinstance(module, KeptLinear) else weight


def plain_linear(pristine: Any, weight: mx.array) -> Any:
    """A plain module with this weight and the pristine one's bias."""
    module: Any = SwitchLinear(1, 1, 1, bias=False) if weight.ndim == 3 else nn.Linear(1, 1, bias=False)
    module.weight = weight
    if "bias" in pristine:
        module.bias = pristine.bias.astype(weight.dtype)
    return module


def _log_softmax(model: Any, probe: mx.array) -> mx.array:
    logits = model(probe).astype(mx.float32)
    logps = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.eval(logps)
    return logps


def _kl(p: mx.array, q: mx.array) -> float:
    """KL divergence of two (…, V) log-distributions, mean over positions, in nats."""
    return float(mx.maximum((mx.exp(p) * (p - q)).sum(axis=-1).mean(), 0.0).item())
