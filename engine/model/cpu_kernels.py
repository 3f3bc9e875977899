"""Fast exp, GELU, SwiGLU and attention for fp32 on the CPU, since MLX's own exp and erf are slow there.

Measured on the CPU, per element: 21 ns for mx.exp (and so for mx.softmax and mx.sigmoid), 22 ns for mx.erf, 4 ns for
mx.power.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from engine.model.arrays import operation

BLOCK = 256  # queries of causal attention computed at a time
HIDDEN = -1e9  # added to the score of a masked key
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)  # Abramowitz and Stegun, 7.1.26


def exp(x: mx.array) -> mx.array:
    """Returns exp of an fp32 array; the relative error is below 1e-7 (2 + |x|)."""
    return mx.power(math.e, x)


def gelu(x: mx.array) -> mx.array:
    """Returns GELU of an fp32 array: x times the normal distribution function at x; the error is below 5e-7."""
    size = mx.abs(x)
    near = 1 / (1 + (0.3275911 / math.sqrt(2)) * size)
    above = ERF[0] * near
    for factor in ERF[1:]:
        above = (above + factor) * near
    return mx.maximum(x, 0) - 0.5 * size * above * exp(-0.5 * size * size)


@operation
def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """Returns silu(gate) * x, elementwise."""
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
    """Returns the softmax over the last axis."""
    powers = exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@softmax.vjp
def _softmax_vjp(_x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    weighted = cotangent * output
    return weighted - output * weighted.sum(axis=-1, keepdims=True)


def attention(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: mx.array | str | None
) -> mx.array:
    """Returns attention (B, H, L, D) of queries (B, H, L, D) over keys and values (B, K, S, D); K divides H.

    `mask` is "causal", None, or an array that broadcasts to (B, 1, L, S). The array is bool (True: visible) or is added
    to the scores. The query heads that share a key head become rows of one product. That gives fewer and larger
    products, and keys are not repeated. With a causal mask, a long row is computed in blocks of queries. Each block
    uses only the keys that it may see, which halves the scores and the memory.
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
        bias = _bias(mask) if mask.dtype == mx.bool_ else mask
        scores = scores + (mx.expand_dims(bias, -3) if bias.ndim > 2 else bias)
    shares = softmax(scores).reshape(batch, kept, -1, seen)
    return (shares @ values).reshape(batch, heads, length, values.shape[-1])


_last: list[tuple[mx.array, mx.array]] = []  # the last mask and its bias: all layers of a step share one mask


def _bias(mask: mx.array) -> mx.array:
    """Returns what is added to the scores for a bool mask; computed once for the layers that share the mask."""
    if not _last or _last[0][0] is not mask:
        _last[:] = [(mask, mx.where(mask, 0.0, HIDDEN))]
    return _last[0][1]


def install_fast_kernels(model: Any) -> bool:
    """Replaces mlx-lm's SwiGLU and attention by the fast ones in the module of the model's architecture.

    It does so on the CPU, if that module uses mlx-lm's functions. Returns whether it did. The fast functions compute
    fp32 only and leave other types to mlx-lm's.
    """
    module = sys.modules[type(model).__module__]
    if mx.default_device().type != mx.DeviceType.cpu or not hasattr(module, "swiglu"):
        return False
    slow_swiglu, slow_attention = (_original(module, name) for name in ("swiglu", "scaled_dot_product_attention"))

    def either_swiglu(gate: mx.array, x: mx.array) -> mx.array:
        """Calls the fast function for fp32, mlx-lm's for every other type."""
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
        """Calls the fast function for fp32 without sinks and without quantized keys, mlx-lm's in all other cases."""
        if queries.dtype != mx.float32 or sinks is not None or hasattr(cache, "bits"):
            found: mx.array = slow_attention(queries, keys, values, cache, scale=scale, mask=mask, sinks=sinks)
            return found
        return attention(queries, keys, values, scale, mask)

    _replace(module, "swiglu", either_swiglu, slow_swiglu)
    if slow_attention is not None:
        _replace(module, "scaled_dot_product_attention", either_attention, slow_attention)
    return True


def _original(module: Any, name: str) -> Any:
    """Returns mlx-lm's own function, even if it is already replaced; None if the module has no such function."""
    found = getattr(module, name, None)
    return getattr(found, "original", found)


def _replace(module: Any, name: str, function: Callable[..., mx.array], original: Any) -> None:
    function.original = original  # type: ignore[attr-defined]  # so that a second model does not wrap it twice
    setattr(module, name, function)
