"""Asks a model that is loaded here by mlx-lm: its mark is the digit from 0 to 4 that it finds likeliest."""

from collections.abc import Callable

import mlx.core as mx
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from engine.contract.errors import InputError
from engine.contract.settings.judge import JudgeConfig
from engine.data.templates.chat_template import Message, Renderer
from engine.judging.rubric import HIGHEST
from engine.model import loading
from engine.model.backend import Backend

CHUNK = 512  # tokens of a prompt that are read at a time


class LocalModel:
    """A judge that is loaded here. It reads a prompt and need not write: a small model would write prose."""

    def __init__(self, config: JudgeConfig, backend: Backend, say: Callable[[str], None]) -> None:
        """Raises InputError if the model cannot be found or loaded, has no chat template, or no token for a digit."""
        loaded = loading.load(loading.locate(config.model, say), backend.dtype)
        self._model, self._renderer = loaded.model, Renderer(loaded.tokenizer)
        marks = [str(mark) for mark in range(HIGHEST + 1)]
        self._digits = [loaded.tokenizer.encode(mark, add_special_tokens=False)[-1] for mark in marks]
        if [loaded.tokenizer.decode([token]).strip() for token in self._digits] != marks:
            raise InputError(f"The model {config.model!r} has no token for each digit, so it gives no marks.")
        self._seen: list[int] = []  # the tokens of the last prompt; most prompts begin alike
        self._cache = make_prompt_cache(self._model)

    def reply(self, prompt: str) -> str:
        """Returns the likeliest digit. Marks of the chat template in the prompt are left out: a text is not a turn."""
        for token in self._renderer.special_tokens:
            prompt = prompt.replace(token, "")
        ids = self._renderer.prompt_ids([Message("user", prompt)])
        start = self._keep(ids)
        while start < len(ids) - 1:
            end = min(start + CHUNK, len(ids) - 1)
            self._model(mx.array([ids[start:end]]), cache=self._cache)
            mx.eval([layer.state for layer in self._cache])
            start = end
        logits = self._model(mx.array([ids[-1:]]), cache=self._cache)[0, -1]
        return str(mx.argmax(logits[mx.array(self._digits)]).item())

    def _keep(self, ids: list[int]) -> int:
        """Keeps the beginning that this prompt has in common with the last one, and returns its number of tokens."""
        pairs = zip(self._seen, ids[:-1], strict=False)
        same = next((place for place, (old, new) in enumerate(pairs) if old != new), min(len(self._seen), len(ids) - 1))
        if same and can_trim_prompt_cache(self._cache):
            trim_prompt_cache(self._cache, len(self._seen) - same)
        else:
            self._cache, same = make_prompt_cache(self._model), 0
        self._seen = ids
        return same
