"""DPO in bfloat16 where MLX takes another attention for what is not differentiated, as it does on a GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm.models.llama as llama
import pytest
import tiny

from engine.contract.journal import events as e


def test_the_reference_is_measured_by_the_kernels_of_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fused attention is imitated by one whose output is 2 % larger."""
    differentiating = 0
    real, real_grad = llama.scaled_dot_product_attention, mx.value_and_grad

    def attention(queries: mx.array, *args: Any, **more: Any) -> mx.array:
        return real(queries, *args, **more) * (1 if differentiating else 1.02)

    def value_and_grad(function: Callable[..., Any], *args: Any, **more: Any) -> Callable[..., Any]:
        def flagged(*given: Any, **named: Any) -> Any:
            nonlocal differentiating
            differentiating += 1
            try:
                return function(*given, **named)
            finally:
                differentiating -= 1

        found: Callable[..., Any] = real_grad(flagged, *args, **more)
        return found

    monkeypatch.setattr(llama, "scaled_dot_product_attention", attention)
    monkeypatch.setattr(mx, "value_and_grad", value_and_grad)
    settings = tiny.settings(tiny.make_model(tmp_path / "model"), tiny.make_curriculum(tmp_path / "course", 1))
    settings["model"]["dtype"] = "bfloat16"
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", settings))
    assert not ran.of(e.Failed)
    first = next(step for step in ran.of(e.Step) if step.phase == "dpo")
    assert first.margin == 0
