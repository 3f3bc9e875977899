"""exp, GELU, SwiGLU and attention for fp32 on the CPU, where MLX's own exp and erf are the slow operations.

Measured there: 21 ns an element for mx.exp (and so for mx.softmax and mx.sigmoid), 22 for mx.erf, 4 for mx.power.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from engine.model.arrays import operation

BLOCK = 256  # queries of causal attention at a time
HIDDEN = -1e9  # added to the score of what may not be looked at
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)  # Abramowitz and Stegun, 7.1.26


def exp(x: mx.array) -> mx.array:
    """exp of an fp32 array; its relative error stays below 1e-7 (2 + |x|)."""
    return mx.power(math.e, x)


def gelu(x: mx.array) -> mx.array:
    """x times the normal distribution's share below x, of an fp32 array; its error stays below 5e-7."""
    size = mx.abs(x)
    near = 1 / (1 + (0.3275911 / math.sqrt(2)) * size)
    above = ERF[0] * near
    for factor in ERF[1:]:
        above = (above + factor) * near
    return mx.maximum(x, 0) - 0.5 * size * above * exp(-0.5 * size * size)


@operation
def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """silu(gate) * x, elementwise."""
    return gate * x / (1 + exp(-gate))


@swiglu.vjp
def _swiglu_vjp(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, _output: mx.array
) -> tuple[mx.array, mx.array]:
    gate, x = primals
    sigmoid = 1 / (1 + exp(-gate))
    silu = gate * sigmoid
    return cotangent * x * (sigmoid + silu * (1 - sigmoid)), cotangent * silu


@operation
def softmax(x: mx.array) -> mx.array:
    """Softmax over the last axis."""
    powers = exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@softmax.vjp
def _softmax_vjp(_x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    weighted = cotangent * output
    return weighted - output * weighted.sum(axis=-1, keepdims=True)


def attention(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: mx.array | str | None
) -> mx.array:
    """(B, H, L, D) from queries (B, H, L, D), keys and values (B, K, S, D), where K divides H.

    `mask` is "causal", None, or an array that broadcasts to (B, 1, L, S): bool (True is looked at) or added to scores.
    The query heads of one key head are folded into its rows: fewer and larger products, and no key is repeated. A long
    row is taken in blocks of queries, each against the keys that it may look at: half the scores, and half the memory.
    """
    batch, heads, length, width = queries.shape
    kept, seen = keys.shape[1:3]
    if length > BLOCK and isinstance(mask, str):
        parts = []
        for start in range(0, length, BLOCK):
            block = queries[:, :, start : start + BLOCK]
            end = seen - length + start + block.shape[2]
            parts.append(attention(block, keys[:, :, :end], values[:, :, :end], scale, mask))
        return mx.concatenate(parts, axis=2)
    folded = (queries * scale).reshape(batch, kept, -1, width)
    scores = (folded @ keys.swapaxes(-1, -2)).reshape(batch, kept, -1, length, seen)
    if mask is not None:
        if isinstance(mask, str):
            mask = mx.arange(seen - length, seen)[:, None] >= mx.arange(seen)
        bias = mx.where(mask, 0.0, HIDDEN) if mask.dtype == mx.bool_ else mask
        scores = scores + (mx.expand_dims(bias, -3) if bias.ndim > 2 else bias)
    shares = softmax(scores).reshape(batch, kept, -1, seen)
    return (shares @ values).reshape(batch, heads, length, values.shape[-1])


def quicken(model: Any) -> bool:
    """Gives an fp32 model on the CPU these, where its architecture's module uses mlx-lm's own; whether it did."""
    module = sys.modules[type(model).__module__]
    if mx.default_device().type != mx.DeviceType.cpu or not hasattr(module, "swiglu"):
        return False
    slow_swiglu, slow_attention = (_original(module, name) for name in ("swiglu", "scaled_dot_product_attention"))

    def either_swiglu(gate: mx.array, x: mx.array) -> mx.array:
        """The fast one for fp32, mlx-lm's for every other type."""
        found: mx.array = swiglu(gate, x) if gate.dtype == mx.float32 else slow_swiglu(gate, x)
        return found

    def either_attention(
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        cache: Any,
        scale: float,
        mask: Any,
        sinks: Any = None,
    ) -> mx.array:
        """The fast one for fp32 without sinks and quantized keys, mlx-lm's for everything else."""
        if queries.dtype != mx.float32 or sinks is not None or hasattr(cache, "bits"):
            found: mx.array = slow_attention(queries, keys, values, cache, scale=scale, mask=mask, sinks=sinks)
            return found
        return attention(queries, keys, values, scale, mask)

    _replace(module, "swiglu", either_swiglu, slow_swiglu)
    if slow_attention is not None:
        _replace(module, "scaled_dot_product_attention", either_attention, slow_attention)
    return True


def _original(module: Any, name: str) -> Any:
    """mlx-lm's own function, whether or not it is replaced already; None where the module has none."""
    found = getattr(module, name, None)
    return getattr(found, "original", found)


def _replace(module: Any, name: str, function: Callable[..., mx.array], original: Any) -> None:
    function.original = original  # type: ignore[attr-defined]  # so that a second model of the kind does not wrap it twice
    setattr(module, name, function)
