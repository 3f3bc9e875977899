"""Optimizer steps: learning-rate schedule, clipping, accumulation, and refusal of non-finite steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optimizers
from mlx.utils import tree_map

from engine.contract.settings.config import DpoConfig, SupervisedConfig
from engine.model import cpu_lanes
from engine.model.arrays import leaves, number

Gradients = Any  # a tree of arrays with the shapes of the trainable parameters


@dataclass(frozen=True, slots=True)
class Update:
    """Result of one optimizer step. `applied` is False if the loss or the gradient was not finite."""

    lr: float
    grad_norm: float  # before clipping
    applied: bool


class Updater:
    """AdamW with a learning rate that is set at every step."""

    def __init__(self, settings: SupervisedConfig | DpoConfig, steps: int) -> None:
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
        # Store arrays row by row, as a loaded checkpoint has them: BLAS rounds differently for a transposed layout.
        model.update(tree_map(mx.contiguous, model.trainable_parameters()))
        mx.eval(model.trainable_parameters(), self.optimizer.state)
        return Update(lr, norm, applied=True)


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Returns the learning rate: linear warm-up over the share `warmup` of the steps, then a cosine to just above 0."""
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
    """Returns the gradients of `loss(*part)[0]` and all values of `loss`, each as a mean over `count` tokens or pairs.

    A micro-batch consists of parts that are computed in parallel. `loss` returns sums, so parts of different size get
    the right weight. Each micro-batch is finished before the next one starts, so only one is in memory at a time.
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
