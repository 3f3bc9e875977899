"""A module's weight as the ledger makes it: dense, changed by deltas, plain again, or with a delta kept beside it."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from engine.deltas import Delta


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
