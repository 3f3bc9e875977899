"""All deltas of a run as one adapter folder: in mlx-lm's form, or in PEFT's."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlx.core as mx

from engine.adapters import lora
from engine.adapters.ledger import Ledger
from engine.contract.errors import InputError
from engine.formats.low_rank import Factors, ranks
from engine.model.arrays import load_arrays
from engine.model.loading import name_of

PEFT_PREFIX = "base_model.model."


def write_adapter(folder: Path, ledger: Ledger, factors: dict[str, Factors]) -> None:
    """mlx-lm's form, loaded with --adapter-path: one rank for every module, so smaller ones are filled with zeros."""
    rank = ranks(factors.values())
    weights: dict[str, mx.array] = {}
    for path, each in factors.items():
        full = each.padded(rank)
        a, b = (full.a, full.b) if full.a.ndim == 2 else (full.a.swapaxes(-1, -2), full.b.swapaxes(-1, -2))
        weights |= {f"{path}.lora_a": mx.contiguous(a), f"{path}.lora_b": mx.contiguous(b)}
    model: Any = ledger.model
    inside = lora.in_layers(model, factors).values()
    settings = {
        "fine_tune_type": "lora",
        "num_layers": len(model.layers) - min(layer for layer, _ in inside),
        "lora_parameters": {
            "rank": rank,
            "scale": 1.0,  # the scales are in lora_b
            "dropout": 0.0,
            "keys": sorted({key for _, key in inside}),
        },
    }
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights, {"format": "mlx"})
    _write_json(folder / "adapter_config.json", settings)


def write_peft(folder: Path, ledger: Ledger, factors: dict[str, Factors]) -> None:
    """PEFT's form: lora_A (rank, in) and lora_B (out, rank), alpha = rank; for what refuse_for_peft let pass."""
    weights = {}
    for path, each in factors.items():
        weights[f"{PEFT_PREFIX}{path}.lora_A.weight"] = mx.contiguous(each.a.T)
        weights[f"{PEFT_PREFIX}{path}.lora_B.weight"] = mx.contiguous(each.b.T)
    mx.save_safetensors(str(folder / "adapter_model.safetensors"), weights, {"format": "pt"})
    _write_json(folder / "adapter_config.json", peft_settings(ledger, {p: f.rank for p, f in factors.items()}))


def peft_settings(ledger: Ledger, by_path: dict[str, int]) -> dict[str, Any]:
    """adapter_config.json; modules of another rank than most are named in rank_pattern, with alpha the same."""
    common = Counter(by_path.values()).most_common(1)[0][0]
    targets: list[str] = []
    pattern: dict[str, int] = {}
    for name, paths in sorted(_by_ending(ledger.model, by_path).items()):
        ranks_here = {by_path[path] for path in paths}
        everywhere = len(paths) == sum(path.endswith(f".{name}") for path, _ in ledger.model.named_modules())
        targets += [name] if everywhere else paths
        if everywhere and len(ranks_here) == 1:
            pattern |= {re.escape(name): rank for rank in ranks_here if rank != common}
        else:
            pattern |= {re.escape(path): by_path[path] for path in paths if by_path[path] != common}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name(ledger.base),
        "r": common,
        "lora_alpha": common,
        "rank_pattern": pattern,
        "alpha_pattern": pattern,
        "target_modules": targets,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }


def refuse_for_peft(ledger: Ledger, factors: dict[str, Factors]) -> None:
    """Raises InputError for a base that PyTorch cannot load, and for modules that PEFT knows by no name."""
    names = {name for file in ledger.base.glob("model*.safetensors") for name in load_arrays(file)}
    if any(name.endswith(".scales") for name in names):
        raise InputError(f"{base_name(ledger.base)} is quantized as only MLX reads it, and PEFT cannot load it")
    experts = [path for path, each in factors.items() if each.a.ndim == 3]
    if experts:
        raise InputError(
            f"{experts[0]} holds the experts of a mixture, for which PEFT has no adapter; use --format mlx"
        )
    strange = [path for path in factors if f"{path}.weight" not in names]
    if strange:
        raise InputError(f"the base calls {strange[0]} by another name, so PEFT would not find it; use --format mlx")


def base_name(base: Path) -> str:
    """What strangers may read of the base: its Hugging Face id, or the name of its folder without the path to it."""
    return name_of(base)


def _by_ending(model: Any, paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths by what follows the layer's number, such as self_attn.q_proj."""
    found: dict[str, list[str]] = {}
    for path, (_, inside) in sorted(lora.in_layers(model, paths).items()):
        found.setdefault(inside, []).append(path)
    return found


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
