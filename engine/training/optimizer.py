"""Optimizer updates: warm-up and cosine, clipping, accumulation, and a refusal of steps that are not finite."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optimizers
from mlx.utils import tree_map

from engine.contract.settings.config import DpoConfig, SftConfig
from engine.model import cpu_lanes
from engine.model.arrays import leaves, number

Gradients = Any  # a tree of arrays, shaped as the trainable parameters


@dataclass(frozen=True, slots=True)
class Update:
    """What one optimizer step did; `applied` False where its loss or gradient was not finite."""

    lr: float
    grad_norm: float  # before clipping
    applied: bool


class Updater:
    """AdamW with its own step size at every step."""

    def __init__(self, settings: SftConfig | DpoConfig, steps: int) -> None:
        self._settings = settings
        self._steps = steps
        self.optimizer = optimizers.AdamW(
            learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, bias_correction=True
        )

    def apply(self, model: nn.Module, gradients: Gradients, loss: float, step: int) -> Update:
        """Applies optimizer step `step` (from 0) unless its loss (nats) or its gradient's norm is not finite."""
        lr = learning_rate(step, self._steps, self._settings.learning_rate, self._settings.warmup)
        norm_array = mx.sqrt(cast(mx.array, sum(array.square().sum() for _, array in leaves(gradients))))
        norm = number(norm_array)
        if not math.isfinite(norm) or not math.isfinite(loss):
            return Update(lr, norm, applied=False)
        if 0 < self._settings.clip < norm:
            gradients = tree_map(lambda array: array * (self._settings.clip / norm), gradients)
        self.optimizer.learning_rate = lr
        self.optimizer.update(model, gradients)
        # Row by row in memory, as a checkpoint would bring them back: BLAS rounds otherwise for a transposed layout.
        model.update(tree_map(mx.contiguous, model.trainable_parameters()))
        mx.eval(model.trainable_parameters(), self.optimizer.state)
        return Update(lr, norm, applied=True)


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then a cosine that ends just above 0."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def accumulate(
    model: nn.Module,
    loss: Callable[..., tuple[mx.array, ...]],
    batches: Iterable[Sequence[tuple[Any, ...]]],
    count: int,
) -> tuple[Gradients, list[float]]:
    """Means over `count` (tokens or pairs) of the gradients of `loss(*part)[0]`, and of each value that it returns.

    A micro-batch comes in parts that are computed side by side. `loss` returns sums, so that parts of unlike size weigh
    what they hold. Each micro-batch is computed before the next is begun, so that one alone is in memory.
    """
    step = nn.value_and_grad(model, loss)
    gradients, values = None, []
    for parts in batches:
        for found, grads in cpu_lanes.run(step, parts):
            if gradients is None:
                gradients, values = grads, list(found)
            else:
                gradients = tree_map(mx.add, gradients, grads)
                values = [old + new for old, new in zip(values, found, strict=True)]
        mx.eval(gradients, values)
    return tree_map(lambda array: array / count, gradients), [number(value) / count for value in values]
