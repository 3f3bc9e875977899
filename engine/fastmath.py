"""exp, and the SwiGLU on top of it, from plain arithmetic: MLX's own exp is one slow loop on the CPU.

Measured there: 20 ns an element for mx.exp, 5 ns for this one, whose relative error stays below 4e-7.
"""

import sys
from typing import Any

import mlx.core as mx

LOG2_E = 1.4426950408889634
LN2 = (0.693359375, -2.12194440e-4)  # ln 2 in two parts, the first exact in a few bits (Cody and Waite 1980)
SERIES = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)  # of e^r for |r| <= ln 2 / 2, by degree
LARGEST = 126.0  # powers of two that fp32 holds with room to spare


def exp(x: mx.array) -> mx.array:
    """exp of an fp32 array; NaN stays NaN, results beyond 2^126 and below 2^-126 are held there."""
    x = mx.clip(x, -LARGEST / LOG2_E, LARGEST / LOG2_E)
    whole = mx.round(x * LOG2_E)
    rest = x - whole * LN2[0] - whole * LN2[1]
    series = rest * SERIES[0] + SERIES[1]
    for term in SERIES[2:]:
        series = series * rest + term
    return series * mx.left_shift(whole.astype(mx.int32) + 127, 23).view(mx.float32)


@mx.custom_function
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


def quicken(model: Any) -> bool:
    """Gives an fp32 model on the CPU this SwiGLU, where its architecture's module uses mlx-lm's; whether it did."""
    module = sys.modules[type(model).__module__]
    if mx.default_device().type != mx.DeviceType.cpu or not hasattr(module, "swiglu"):
        return False
    original = getattr(module.swiglu, "original", module.swiglu)

    def either(gate: mx.array, x: mx.array) -> mx.array:
        """The fast one for fp32, mlx-lm's for every other type."""
        return swiglu(gate, x) if gate.dtype == mx.float32 else original(gate, x)

    either.original = original  # type: ignore[attr-defined]  # so that a second model of the kind does not wrap it twice
    module.swiglu = either
    return True
