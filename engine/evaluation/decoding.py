"""How answers are decoded, the same for evaluation, chat and new rows: greedily, with a penalty for repeated tokens."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import make_repetition_penalty

from engine.contract.settings.config import PENALIZED, EvaluationConfig
from engine.model import cpu_lanes

Processor = Callable[[mx.array, mx.array], mx.array]


@dataclass(slots=True)
class Decoded:
    """The tokens of one answer, without its end token; `first` is the first one that was decoded."""

    tokens: list[int] = field(default_factory=list)
    first: int = -1
    stop: Literal["eos", "length", ""] = ""


def processors(settings: EvaluationConfig) -> list[Processor]:
    """Returns mlx-lm's logits processors: tokens (n,) and logits (1, vocabulary) -> logits (1, vocabulary)."""
    if settings.repetition_penalty == 1:
        return []
    return [make_repetition_penalty(settings.repetition_penalty, PENALIZED)]


def decode(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    end_ids: Collection[int],
    settings: EvaluationConfig,
    between: Callable[[list[Decoded]], None],
    *,
    batch: int | None = None,
    sampler: Callable[[mx.array], mx.array] | None = None,
    caches: list[list[Any]] | None = None,
) -> list[Decoded]:
    """Decodes answers to prompts of token ids in batches, each of at most its limit of tokens; greedily by default.

    `between` is called after each step with all answers as they are. `caches` hold, for each prompt, the keys and
    values of tokens before it.
    """
    batch = batch or settings.batch
    generator = BatchGenerator(
        model,
        stop_tokens=[[token] for token in end_ids],
        completion_batch_size=batch,
        prefill_batch_size=min(8, batch),
        logits_processors=processors(settings),
        sampler=sampler,
    )
    try:
        numbers = generator.insert([list(prompt) for prompt in prompts], list(limits), caches)
        found = {number: Decoded() for number in numbers}
        with cpu_lanes.ThreadChoice() as pace:
            while responses := pace.step(generator.next_generated):
                for response in responses:
                    answer = found[response.uid]
                    if answer.first < 0:
                        answer.first = int(response.token)
                    if response.finish_reason is not None:
                        answer.stop = "eos" if response.finish_reason == "stop" else "length"
                    if response.finish_reason != "stop":
                        answer.tokens.append(response.token)
                between(list(found.values()))
    finally:
        generator.close()
    return [found[number] for number in numbers]
