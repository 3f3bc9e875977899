"""Computes a module's weight: dense, changed by deltas, or with a delta kept as separate factors."""

import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from engine.adapters.deltas import Delta
from engine.adapters.lora import linear_shape


class WithFactors(nn.Module):
    """A plain module with separate frozen low-rank factors, for a delta that rounding would have lost."""

    def __init__(self, plain: Any, a: mx.array, b: mx.array) -> None:
        """a (in, R) and b (R, out), fp32, scales included; with a first axis for experts if `plain` has them."""
        nn.Module.__init__(self)
        self.weight = plain.weight
        if "bias" in plain:
            self.bias = plain.bias
        self.kept_a, self.kept_b = a, b
        self.freeze()


class LinearWithFactors(WithFactors, nn.Linear):
    """A linear layer with kept factors."""

    def __call__(self, x: mx.array) -> mx.array:
        """x (…, in) -> (…, out)."""
        beside = (x.astype(mx.float32) @ self.kept_a) @ self.kept_b
        return super().__call__(x) + beside.astype(x.dtype)


class SwitchLinearWithFactors(WithFactors, SwitchLinear):
    """The experts of a mixture with kept factors, separate for each expert."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """x (…, 1, in) and the expert numbers (…) for each row -> (…, 1, out)."""
        beside = x.astype(mx.float32)
        for factor in (self.kept_a, self.kept_b):
            beside = mx.gather_mm(beside, factor, rhs_indices=indices, sorted_indices=sorted_indices)
        plain: mx.array = super().__call__(x, indices, sorted_indices)  # type: ignore[no-untyped-call]  # MLX's has no types
        return plain + beside.astype(x.dtype)


def keep(plain: Any, a: mx.array, b: mx.array) -> WithFactors:
    """Returns the plain module with these factors kept separately."""
    return (SwitchLinearWithFactors if isinstance(plain, SwitchLinear) else LinearWithFactors)(plain, a, b)


def combined(deltas: Sequence[Delta], path: str) -> mx.array:
    """Returns the total change of one module's weight by several deltas: (out, in) or (experts, out, in), fp32."""
    if deltas[0].weights[f"{path}.lora_a"].ndim == 3:
        total = deltas[0].change(path)
        for delta in deltas[1:]:
            total = total + delta.change(path)
        return total
    a, b = factors(deltas, path)
    return b.T @ a.T  # contiguous rows: adding it to the weight takes half the time of (a @ b).T


def factors(deltas: Sequence[Delta], path: str) -> tuple[mx.array, mx.array]:
    """Returns the concatenated factors of several deltas: (in, sum of ranks) and (sum of ranks, out), scales included.

    If the module has experts, both have a first axis for them. mlx-lm stores the factors of experts transposed.
    """
    a = [delta.weights[f"{path}.lora_a"].astype(mx.float32) for delta in deltas]
    b = [delta.spec.scale * delta.weights[f"{path}.lora_b"].astype(mx.float32) for delta in deltas]
    if a[0].ndim == 3:
        a, b = ([array.swapaxes(-1, -2) for array in arrays] for arrays in (a, b))
    return mx.concatenate(a, axis=-1), mx.concatenate(b, axis=-2)


def dense(module: Any) -> mx.array:
    """Returns the module's weight in fp32, dequantized if necessary, with any kept delta added."""
    if isinstance(module, nn.QuantizedLinear | QuantizedSwitchLinear):
        weight = mx.dequantize(
            module.weight, module.scales, module.get("biases"), module.group_size, module.bits, mode=module.mode
        )
        return weight.astype(mx.float32)
    plain: mx.array = module.weight.astype(mx.float32)
    return plain + (module.kept_a @ module.kept_b).swapaxes(-1, -2) if isinstance(module, WithFactors) else plain


def growth(module: Any, dtype: mx.Dtype) -> int:
    """Returns the additional bytes of a packed module after a commit, which leaves it dequantized; 0 if not packed."""
    if not isinstance(module, nn.QuantizedLinear | QuantizedSwitchLinear):
        return 0
    parameters = module.parameters()  # type: ignore[no-untyped-call]  # MLX's has no types
    packed = sum(array.nbytes for name, array in parameters.items() if name != "bias")
    return math.prod(linear_shape(module)) * dtype.size - int(packed)


def plain_linear(pristine: Any, weight: mx.array) -> Any:
    """Returns a plain module with this weight and the bias of the base's module."""
    module: Any = SwitchLinear(1, 1, 1, bias=False) if weight.ndim == 3 else nn.Linear(1, 1, bias=False)
    module.weight = weight
    if "bias" in pristine:
        module.bias = pristine.bias.astype(weight.dtype)
    return module
