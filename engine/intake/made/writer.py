"""The base model as a writer: loads it once, and writes short texts in batches."""

import copy
import time
from collections.abc import Callable, Sequence
from itertools import takewhile

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import make_sampler

from engine.contract.settings.config import EvaluationConfig
from engine.data.templates.chat_template import Message, Renderer
from engine.evaluation.decoding import Decoded, decode
from engine.model import loading
from engine.model.backend import Backend

PENALTY = EvaluationConfig(repetition_penalty=1.15)  # as in the configuration that is written for the person
BATCH = 16  # texts that are written together and kept together if the work is interrupted
LEAST_SHARED = 32  # tokens: a beginning that all prompts share is computed once if it is at least this long
TOLD = 1.0  # seconds between two messages of progress
SEED = 0
TEMPERATURE = 0.8  # of a second try
Prompt = Sequence[Message]


class Writer:
    """Writes the base model's answers to prompts."""

    def __init__(self, model: str, backend: Backend, say: Callable[[str], None]) -> None:
        """Raises InputError if the model cannot be loaded, or has no chat template."""
        loaded = loading.load(loading.locate(model, say), backend.dtype)
        self.renderer = Renderer(loaded.tokenizer)
        self._model = loaded.model

    def write(
        self, prompts: Sequence[Prompt], limits: Sequence[int], told: Callable[[int], None], sampled: bool = False
    ) -> list[tuple[str, bool]]:
        """Returns the answer to each prompt, and whether the model ended it within its limit of tokens.

        `told` gets the number of answers that are complete, now and then. Answers are greedy unless `sampled`.
        """
        rows = [self.renderer.prompt_ids(list(prompt)) for prompt in prompts]
        shared = _shared(rows)
        caches = [copy.deepcopy(cache) for cache in [self._begun(rows[0][:shared])] * len(rows)] if shared else None
        last = time.monotonic()

        def between(found: list[Decoded]) -> None:
            nonlocal last
            if time.monotonic() - last >= TOLD:
                last = time.monotonic()
                told(sum(each.stop != "" for each in found))

        mx.random.seed(SEED)
        sampler = make_sampler(temp=TEMPERATURE) if sampled else None
        found = decode(
            self._model,
            [row[shared:] for row in rows],
            limits,
            self.renderer.end_ids,
            PENALTY,
            between,
            batch=BATCH,
            sampler=sampler,
            caches=caches,
        )
        return [(self.renderer.decode(each.tokens), each.stop == "eos") for each in found]

    def tokens(self, text: str) -> int:
        """Returns how many tokens a text has."""
        return len(self.renderer.text_ids(text))

    def _begun(self, ids: Sequence[int]) -> list[object]:
        """Returns the keys and values of the tokens that all prompts begin with."""
        cache: list[object] = make_prompt_cache(self._model)
        mx.eval(self._model(mx.array([list(ids)]), cache=cache))
        return cache


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Returns how many tokens all rows begin with, if there are several rows and enough of them; else 0."""
    if len(rows) < 2:
        return 0
    columns = zip(*(row[:-1] for row in rows), strict=False)
    count = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return count if count >= LEAST_SHARED else 0
