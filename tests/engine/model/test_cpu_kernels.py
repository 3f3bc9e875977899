"""The fast exp, GELU, SwiGLU and attention say what MLX's own say, gradients and non-finite numbers included."""

import math
from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from engine.model import cpu_kernels, loading


@pytest.fixture
def cpu() -> Iterator[None]:
    """They are for the CPU, and so are their bounds: a GPU's own power, sums and products round otherwise."""
    with mx.stream(mx.cpu):
        yield


on_cpu = pytest.mark.usefixtures("cpu")


@on_cpu
def test_exp_is_as_exact_as_it_says() -> None:
    x = np.linspace(-80, 80, 200_001, dtype=np.float32)
    found = np.array(cpu_kernels.exp(mx.array(x)), dtype=np.float64)
    error = np.abs(found / np.exp(x.astype(np.float64)) - 1)
    assert (error < 1e-7 * (2 + np.abs(x))).all()


@on_cpu
def test_exp_at_the_ends() -> None:
    ends = cpu_kernels.exp(mx.array([-1e9, -mx.inf, 0.0, 1e9, mx.inf, mx.nan])).tolist()
    assert ends[:5] == [0.0, 0.0, 1.0, np.inf, np.inf]
    assert ends[5] != ends[5]


@on_cpu
def test_gelu_is_as_exact_as_it_says() -> None:
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    exact = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.astype(float)])
    assert np.abs(np.array(cpu_kernels.gelu(mx.array(x))) - exact).max() < 5e-7


@on_cpu
def test_swiglu_and_its_gradients() -> None:
    gate, x, weight = (mx.random.normal((7, 33), key=mx.random.key(i)) * 4 for i in range(3))

    def loss(function):  # type: ignore[no-untyped-def]
        return mx.value_and_grad(lambda a, b: (function(a, b) * weight).sum(), argnums=(0, 1))(gate, x)

    (ours, our_grads), (theirs, their_grads) = loss(cpu_kernels.swiglu), loss(lambda a, b: nn.silu(a) * b)
    assert mx.allclose(ours, theirs, rtol=1e-5).item()
    for a, b in zip(our_grads, their_grads, strict=True):
        assert mx.allclose(a, b, rtol=1e-5, atol=1e-5).item()


@on_cpu
@pytest.mark.parametrize("block", [cpu_kernels.BLOCK, 4, 3])
@pytest.mark.parametrize("length", [1, 5, 8])
@pytest.mark.parametrize("kind", ["none", "causal", "bool", "added"])
def test_attention_and_its_gradients(kind: str, length: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six query heads on two key heads; with fewer queries than keys, as when a prompt is in the cache already."""
    monkeypatch.setattr(cpu_kernels, "BLOCK", block)
    q, k, v, weight = (
        mx.random.normal(shape, key=mx.random.key(i))
        for i, shape in enumerate([(3, 6, length, 4), (3, 2, 8, 4), (3, 2, 8, 4), (3, 6, length, 4)])
    )
    seen = mx.random.uniform(shape=(3, 1, length, 8), key=mx.random.key(9)) < 0.7
    seen = seen | (mx.arange(8) == 0)
    mask = {"none": None, "causal": "causal", "bool": seen, "added": mx.where(seen, 0.0, -50.0)}[kind]

    def loss(function):  # type: ignore[no-untyped-def]
        return mx.value_and_grad(lambda *qkv: (function(*qkv) * weight).sum(), argnums=(0, 1, 2))(q, k, v)

    ours, our_grads = loss(lambda *qkv: cpu_kernels.attention(*qkv, 0.5, mask))
    theirs, their_grads = loss(lambda *qkv: mx.fast.scaled_dot_product_attention(*qkv, scale=0.5, mask=mask))
    assert mx.allclose(ours, theirs, rtol=1e-5, atol=1e-5).item()
    for a, b in zip(our_grads, their_grads, strict=True):
        assert mx.allclose(a, b, rtol=1e-5, atol=1e-5).item()


def test_a_nan_is_not_swallowed() -> None:
    assert mx.isnan(cpu_kernels.swiglu(mx.array([mx.nan]), mx.array([1.0]))).item()


def test_the_real_model_answers_as_before() -> None:
    loaded = loading.load(loading.locate("smollm2-135m-instruct", print), "float32")
    if not cpu_kernels.install_fast_kernels(loaded.model):
        pytest.skip("off the CPU mlx-lm's own functions stay")
    import mlx_lm.models.llama as llama

    ids = mx.array([loaded.tokenizer.encode("The lamp is lit at dusk, and somebody stays awake with it.")])
    fast = loaded.model(ids)
    names = ("swiglu", "scaled_dot_product_attention")
    for name in names:
        setattr(llama, name, getattr(llama, name).original)
    slow = loaded.model(ids)
    assert cpu_kernels.install_fast_kernels(loaded.model)
    assert all(hasattr(getattr(llama, name), "original") for name in names)
    assert mx.abs(fast - slow).max().item() < 1e-4 * mx.abs(slow).max().item()
