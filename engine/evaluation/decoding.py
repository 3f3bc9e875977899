"""How answers are decoded, the same for evaluation and chat: greedily, with a penalty for repeated tokens."""

from collections.abc import Callable

import mlx.core as mx
from mlx_lm.sample_utils import make_repetition_penalty

from engine.contract.settings.config import PENALIZED, EvaluationConfig

Processor = Callable[[mx.array, mx.array], mx.array]


def processors(settings: EvaluationConfig) -> list[Processor]:
    """Returns mlx-lm's logits processors: tokens (n,) and logits (1, vocabulary) -> logits (1, vocabulary)."""
    if settings.repetition_penalty == 1:
        return []
    return [make_repetition_penalty(settings.repetition_penalty, PENALIZED)]
