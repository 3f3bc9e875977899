"""Asks a model that is loaded here by mlx-lm, greedily."""

from collections.abc import Callable

import mlx.core as mx
from mlx_lm.generate import stream_generate

from engine.contract.settings.judge import JudgeConfig
from engine.data.templates.chat_template import Message, Renderer
from engine.model import loading
from engine.model.backend import Backend


class LocalModel:
    """A judge that is loaded here. The greedy decoding is that of temperature 0."""

    def __init__(self, config: JudgeConfig, backend: Backend, say: Callable[[str], None]) -> None:
        """Raises InputError if the model cannot be found or loaded, or has no chat template."""
        self._loaded = loading.load(loading.locate(config.model, say), backend.dtype)
        self._renderer = Renderer(self._loaded.tokenizer)
        self._limit = config.max_tokens

    def reply(self, prompt: str) -> str:
        """Returns what the model replies. Marks of its template in the prompt are left out: a text is not a turn."""
        for token in self._renderer.special_tokens:
            prompt = prompt.replace(token, "")
        ids = self._renderer.prompt_ids([Message("user", prompt)])
        pieces = stream_generate(self._loaded.model, self._loaded.tokenizer, ids, max_tokens=self._limit)
        text = "".join(piece.text for piece in pieces)
        mx.clear_cache()
        return text
