"""The fast exp and SwiGLU say what MLX's own say, gradients and non-finite numbers included."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine import fastmath, models


def test_exp_is_exact_to_four_in_ten_million() -> None:
    x = np.linspace(-80, 80, 200_001, dtype=np.float32)
    found = np.array(fastmath.exp(mx.array(x)), dtype=np.float64)
    assert np.abs(found / np.exp(x.astype(np.float64)) - 1).max() < 4e-7


def test_exp_at_the_ends() -> None:
    ends = fastmath.exp(mx.array([-1e9, -mx.inf, 0.0, 1e9, mx.inf, mx.nan])).tolist()
    assert ends[0] < 1e-37
    assert ends[1] < 1e-37
    assert ends[2] == 1.0
    assert ends[3] > 1e37
    assert ends[4] > 1e37
    assert ends[5] != ends[5]


def test_swiglu_and_its_gradients() -> None:
    gate, x, weight = (mx.random.normal((7, 33), key=mx.random.key(i)) * 4 for i in range(3))

    def loss(function):  # type: ignore[no-untyped-def]
        return mx.value_and_grad(lambda a, b: (function(a, b) * weight).sum(), argnums=(0, 1))(gate, x)

    (ours, our_grads), (theirs, their_grads) = loss(fastmath.swiglu), loss(lambda a, b: nn.silu(a) * b)
    assert mx.allclose(ours, theirs, rtol=1e-5).item()
    for a, b in zip(our_grads, their_grads, strict=True):
        assert mx.allclose(a, b, rtol=1e-5, atol=1e-5).item()


def test_a_nan_is_not_swallowed() -> None:
    assert mx.isnan(fastmath.swiglu(mx.array([mx.nan]), mx.array([1.0]))).item()


def test_the_real_model_answers_as_before() -> None:
    loaded = models.load(models.locate("smollm2-135m-instruct", print), "float32")
    import mlx_lm.models.llama as llama

    ids = mx.array([loaded.tokenizer.encode("The lamp is lit at dusk, and somebody stays awake with it.")])
    fast = loaded.model(ids)
    quick, llama.swiglu = llama.swiglu, llama.swiglu.original
    slow = loaded.model(ids)
    llama.swiglu = quick
    assert fastmath.quicken(loaded.model)
    assert mx.abs(fast - slow).max().item() < 1e-4 * mx.abs(slow).max().item()
