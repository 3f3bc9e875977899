"""Writes all deltas of a run as one adapter folder, in the format of mlx-lm or PEFT."""

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
    """Writes mlx-lm's format, which mlx-lm loads with --adapter-path.

    The format has one rank for all modules, so smaller factors are padded with zeros.
    """
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
            "scale": 1.0,  # lora_b includes the scales
            "dropout": 0.0,
            "keys": sorted({key for _, key in inside}),
        },
    }
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights, {"format": "mlx"})
    _write_json(folder / "adapter_config.json", settings)


def write_peft(folder: Path, ledger: Ledger, factors: dict[str, Factors]) -> None:
    """Writes PEFT's format: lora_A (rank, in) and lora_B (out, rank), alpha = rank.

    Call refuse_for_peft first.
    """
    weights = {}
    for path, each in factors.items():
        weights[f"{PEFT_PREFIX}{path}.lora_A.weight"] = mx.contiguous(each.a.T)
        weights[f"{PEFT_PREFIX}{path}.lora_B.weight"] = mx.contiguous(each.b.T)
    mx.save_safetensors(str(folder / "adapter_model.safetensors"), weights, {"format": "pt"})
    _write_json(folder / "adapter_config.json", peft_settings(ledger, {p: f.rank for p, f in factors.items()}))


def peft_settings(ledger: Ledger, by_path: dict[str, int]) -> dict[str, Any]:
    """Returns the adapter_config.json of PEFT.

    `r` is the most common rank. rank_pattern and alpha_pattern list the modules with another rank; alpha equals rank.
    """
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
    """Raises InputError if PyTorch cannot load the base, or if PEFT cannot adapt a module or find it by name."""
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
    """Returns a name of the base that may be published: its Hugging Face id, or its folder's name without the path."""
    return name_of(base)


def _by_ending(model: Any, paths: Iterable[str]) -> dict[str, list[str]]:
    """Groups paths by their part after the layer number, such as self_attn.q_proj."""
    found: dict[str, list[str]] = {}
    for path, (_, inside) in sorted(lora.in_layers(model, paths).items()):
        found.setdefault(inside, []).append(path)
    return found


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
