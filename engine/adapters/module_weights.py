"""A module's weight as the ledger makes it: dense, changed by deltas, plain again, or with a delta kept beside it."""

import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from engine.adapters.deltas import Delta
from engine.adapters.lora import linear_shape


class Kept(nn.Module):
    """A plain module with frozen low-rank factors beside its weight: a delta that rounding would have lost."""

    def __init__(self, plain: Any, a: mx.array, b: mx.array) -> None:
        """a (in, R) and b (R, out), experts in front where `plain` has them; fp32, scales already multiplied in."""
        nn.Module.__init__(self)
        self.weight = plain.weight
        if "bias" in plain:
            self.bias = plain.bias
        self.kept_a, self.kept_b = a, b
        self.freeze()


class KeptLinear(Kept, nn.Linear):
    """Of a linear layer."""

    def __call__(self, x: mx.array) -> mx.array:
        """x (…, in) -> (…, out)."""
        beside = (x.astype(mx.float32) @ self.kept_a) @ self.kept_b
        return super().__call__(x) + beside.astype(x.dtype)


class KeptSwitchLinear(Kept, SwitchLinear):
    """Of the experts of a mixture, each with its own factors."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """x (…, 1, in) and the experts (…) that see each row of it -> (…, 1, out)."""
        beside = x.astype(mx.float32)
        for factor in (self.kept_a, self.kept_b):
            beside = mx.gather_mm(beside, factor, rhs_indices=indices, sorted_indices=sorted_indices)
        plain: mx.array = super().__call__(x, indices, sorted_indices)  # type: ignore[no-untyped-call]  # MLX's has no types
        return plain + beside.astype(x.dtype)


def keep(plain: Any, a: mx.array, b: mx.array) -> Kept:
    """The plain module with these factors beside its weight."""
    return (KeptSwitchLinear if isinstance(plain, SwitchLinear) else KeptLinear)(plain, a, b)


def combined(deltas: Sequence[Delta], path: str) -> mx.array:
    """The change that several deltas make to one module's weight: (out, in) or (experts, out, in), fp32."""
    if deltas[0].weights[f"{path}.lora_a"].ndim == 3:
        total = deltas[0].change(path)
        for delta in deltas[1:]:
            total = total + delta.change(path)
        return total
    a, b = factors(deltas, path)
    return b.T @ a.T  # row by row in memory: added to the weight in half the time of (a @ b).T


def factors(deltas: Sequence[Delta], path: str) -> tuple[mx.array, mx.array]:
    """Factors of several deltas side by side: (in, sum of ranks) and (sum of ranks, out), scales multiplied in.

    With experts in front where the module has them; their factors are stored the other way round.
    """
    a = [delta.weights[f"{path}.lora_a"].astype(mx.float32) for delta in deltas]
    b = [delta.spec.scale * delta.weights[f"{path}.lora_b"].astype(mx.float32) for delta in deltas]
    if a[0].ndim == 3:
        a, b = ([array.swapaxes(-1, -2) for array in arrays] for arrays in (a, b))
    return mx.concatenate(a, axis=-1), mx.concatenate(b, axis=-2)


def dense(module: Any) -> mx.array:
    """The module's weight in fp32, dequantized where it is quantized; a kept delta counts as weight."""
    if isinstance(module, nn.QuantizedLinear | QuantizedSwitchLinear):
        weight = mx.dequantize(
            module.weight, module.scales, module.get("biases"), module.group_size, module.bits, mode=module.mode
        )
        return weight.astype(mx.float32)
    plain: mx.array = module.weight.astype(mx.float32)
    return plain + (module.kept_a @ module.kept_b).swapaxes(-1, -2) if isinstance(module, Kept) else plain


def growth(module: Any, dtype: mx.Dtype) -> int:
    """Bytes that a packed module takes more once a delta is committed on it and it stays dequantized; 0 of others."""
    if not isinstance(module, nn.QuantizedLinear | QuantizedSwitchLinear):
        return 0
    parameters = module.parameters()  # type: ignore[no-untyped-call]  # MLX's has no types
    packed = sum(array.nbytes for name, array in parameters.items() if name != "bias")
    return math.prod(linear_shape(module)) * dtype.size - int(packed)


def plain_linear(pristine: Any, weight: mx.array) -> Any:
    """A plain module with this weight and the pristine one's bias."""
    module: Any = SwitchLinear(1, 1, 1, bias=False) if weight.ndim == 3 else nn.Linear(1, 1, bias=False)
    module.weight = weight
    if "bias" in pristine:
        module.bias = pristine.bias.astype(weight.dtype)
    return module
