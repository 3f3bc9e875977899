"""Logits of an MLX model in fp32, and in float64 from the same fp32 weights: how much of a difference is rounding."""

from typing import Any

import mlx.core as mx
from mlx_lm.models.switch_layers import SwitchLinear

_fast_norm = mx.fast.rms_norm


def _norm(x: mx.array, weight: mx.array | None, eps: float, **more: Any) -> mx.array:
    """mx.fast.rms_norm, whose float64 on the CPU is fp32 inside."""
    if x.dtype != mx.float64:
        return _fast_norm(x, weight, eps, **more)
    y = x / mx.sqrt(x.square().mean(axis=-1, keepdims=True) + eps)
    return y if weight is None else weight * y


mx.fast.rms_norm = _norm


def precise(model: Any, ids: mx.array) -> dict[str, mx.array]:
    """`fp32`, and `float64` where MLX can: not for the experts of a mixture. The model's weights are float64 then."""
    found = {"fp32": model(ids).astype(mx.float32)}
    mx.eval(found)
    if not any(isinstance(module, SwitchLinear) for module in model.modules()):
        model.set_dtype(mx.float64)
        found["float64"] = model(ids)
        mx.eval(found)
    return found


def differences(model: Any, reference: dict[str, mx.array]) -> dict[str, float]:
    """The largest ones to the engine's logits in each precision, and of fp32 to float64 here and in the engine."""
    found = precise(model, reference["ids"])
    rows = {name: far(logits, reference[name]) for name, logits in found.items()}
    if "float64" in found:
        rows |= {"rounds": far(*found.values()), "engine rounds": far(reference["fp32"], reference["float64"])}
    return rows


def far(a: mx.array, b: mx.array) -> float:
    return float(mx.abs(a - b).max().item())
