"""Logits of an MLX model in fp32, and in float64 from the same fp32 weights: how much of a difference is rounding."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.switch_layers import SwitchLinear

_fast_norm, _fast_rope = mx.fast.rms_norm, mx.fast.rope


def _norm(x: mx.array, weight: mx.array | None, eps: float, **more: Any) -> mx.array:
    """mx.fast.rms_norm, whose float64 on the CPU is fp32 inside."""
    if x.dtype != mx.float64:
        return _fast_norm(x, weight, eps, **more)
    y = x / mx.sqrt(x.square().mean(axis=-1, keepdims=True) + eps)
    return y if weight is None else weight * y


def _rope(
    x: mx.array,
    dims: int,
    *,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: Any,
    freqs: mx.array | None = None,
    **more: Any,
) -> mx.array:
    """mx.fast.rope of (B, H, L, D), whose float64 on the CPU turns by angles of fp32, as mx.sin's own float64 would."""
    if x.dtype != mx.float64 or traditional:
        return _fast_rope(x, dims, traditional=traditional, base=base, scale=scale, offset=offset, freqs=freqs, **more)
    periods = base ** (np.arange(0, dims, 2) / dims) if freqs is None else np.array(freqs, np.float64)
    angles = np.arange(offset, offset + x.shape[-2])[:, None] * scale / periods
    sine, cosine = (mx.array(part, dtype=mx.float64) for part in (np.sin(angles), np.cos(angles)))
    left, right, rest = mx.split(x, (dims // 2, dims), axis=-1)
    return mx.concatenate([left * cosine - right * sine, left * sine + right * cosine, rest], axis=-1)


mx.fast.rms_norm, mx.fast.rope = _norm, _rope


def precise(model: Any, ids: mx.array) -> dict[str, mx.array]:
    """`fp32`, and `float64` where MLX can: not for the experts of a mixture. The model's weights are float64 then."""
    found = {"fp32": model(ids).astype(mx.float32)}
    mx.eval(found)
    if not any(isinstance(module, SwitchLinear) for module in model.modules()):
        model.set_dtype(mx.float64)
        found["float64"] = model(ids)
        mx.eval(found)
    return found


def differences(model: Any, reference: dict[str, mx.array], kept: Path) -> dict[str, float]:
    """The largest ones to the engine's logits in each precision, and of fp32 to float64 here and in the engine.

    The fp32 logits go to the file `kept`.
    """
    found = precise(model, reference["ids"])
    mx.save(str(kept), found["fp32"])
    rows = {name: far(logits, reference[name]) for name, logits in found.items()}
    if "float64" in found:
        rows |= {"rounds": far(*found.values()), "engine rounds": far(reference["fp32"], reference["float64"])}
    return rows


def far(a: mx.array, b: mx.array) -> float:
    return float(mx.abs(a - b).max().item())
