"""Committed deltas: the adapter of one phase, in memory and as a folder that mlx-lm loads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from msgspec import MsgspecError

from engine.adapters import fingerprint
from engine.adapters import lora as adapters
from engine.adapters.lora import AdapterSpec
from engine.contract.errors import InputError
from engine.contract.names import new_delta, topic_id
from engine.contract.regular_file import read_text
from engine.contract.run_folder.files import write_folder
from engine.contract.vocabulary import PHASES, Phase
from engine.contract.wording import short
from engine.model.arrays import load_arrays, number
from engine.rules.enforce import CHECKS, require

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, MsgspecError)  # of a truncated or changed file


@dataclass(frozen=True, slots=True)
class Delta:
    """A committed phase: its name (`003-unit-01.chapter-01.topic-02-sft`), topic, phase, spec and adapter arrays.

    If `fused` is False, rounding would have lost the change. The model then keeps the factors separately, in fp32.
    """

    name: str
    topic: str
    phase: Phase
    spec: AdapterSpec
    weights: dict[str, mx.array]
    fused: bool = True

    @property
    def paths(self) -> list[str]:
        return sorted({name.rpartition(".")[0] for name in self.weights})

    def digest(self) -> str:
        """Returns one hash over the arrays."""
        return fingerprint.fingerprint(fingerprint.digests_of(self.weights))

    def factors(self, path: str) -> tuple[mx.array, mx.array]:
        """Returns (out, r) and (r, in), fp32; the first includes the scale.

        If the module has experts, both have an additional first axis for them.
        """
        a = self.weights[f"{path}.lora_a"].astype(mx.float32)
        b = self.weights[f"{path}.lora_b"].astype(mx.float32)
        return (self.spec.scale * b, a) if a.ndim == 3 else (self.spec.scale * b.T, a.T)

    def change(self, path: str) -> mx.array:
        """Returns the change of one module's weight: (out, in) or (experts, out, in), fp32."""
        out, inner = self.factors(path)
        return out @ inner


def delta_norm(weights: dict[str, mx.array], scale: float) -> float:
    """Returns the Frobenius norm of the change over all modules, from the factors: |AB|^2 = trace(A^T A B B^T)."""
    total = mx.array(0.0)
    for name in sorted(weights):
        if name.endswith(".lora_a"):
            a = weights[name].astype(mx.float32)
            b = weights[f"{name.removesuffix('.lora_a')}.lora_b"].astype(mx.float32)
            if a.ndim == 3:
                a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
            total = total + ((a.swapaxes(-1, -2) @ a) * (b @ b.swapaxes(-1, -2))).sum()
    return scale * number(mx.sqrt(mx.maximum(total, 0.0)))


def save_delta(folder: Path, delta: Delta, model: Any) -> None:
    """Writes a delta as an adapter folder that mlx-lm loads; the folder is on the disk when the function returns."""
    inside = adapters.in_layers(model, delta.paths)

    def write(into: Path) -> None:
        mx.save_safetensors(str(into / "adapters.safetensors"), delta.weights, {"format": "mlx"})
        settings = {
            "fine_tune_type": "lora",
            "num_layers": delta.spec.layers or len(model.layers),
            "lora_parameters": {
                "rank": delta.spec.rank,
                "scale": delta.spec.scale,
                "dropout": 0.0,
                "keys": sorted({key for _, key in inside.values()}),
            },
            "mindprint": {"topic": delta.topic, "phase": delta.phase, "modules": list(delta.spec.modules)},
        }
        (into / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    write_folder(folder, write)


def load_delta(folder: Path, *, fused: bool) -> Delta:
    """Reads the folder that save_delta wrote.

    Raises InputError if its topic or phase is not valid, or does not match the name of the folder.
    """
    file = folder / "adapter_config.json"
    settings = json.loads(read_text(file))
    lora, ours = settings["lora_parameters"], settings["mindprint"]
    try:
        topic_id(ours["topic"])
        if ours["phase"] not in PHASES:
            raise InputError(f"phase {short(ours['phase'])} is neither {' nor '.join(PHASES)}")
        if folder.name.partition("-")[2] != new_delta(0, ours["topic"], ours["phase"]).partition("-")[2]:
            raise InputError(f"{short(ours['topic'])} {ours['phase']} is not what the folder is named for")
    except InputError as error:
        raise InputError(f"{file}: mindprint: {error}") from None
    spec = AdapterSpec(lora["rank"], lora["scale"], tuple(ours["modules"]), settings["num_layers"])
    weights = load_arrays(folder / "adapters.safetensors")
    mx.eval(weights)  # unread arrays keep their file open, and macOS allows 256 open files
    return Delta(folder.name, ours["topic"], ours["phase"], spec, weights, fused)


@CHECKS.timed()
def require_on_disk(folder: Path, delta: Delta) -> None:
    """Rule 29: requires that the adapter read back from the disk is the trained one, array by array."""
    written = load_delta(folder / delta.name, fused=True)
    same, wanted = fingerprint.digests_of(written.weights), fingerprint.digests_of(delta.weights)
    require(
        "committed-on-disk", same == wanted, f"{folder / delta.name} on the disk is not the adapter that was trained"
    )
