"""An HTTP endpoint in the form of OpenAI's API: mlx-lm's server, held to one model and to text."""

import argparse
import json
import math
import socket
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import mlx.nn as nn
from mlx_lm import server
from mlx_lm.models.cache import LRUPromptCache, make_prompt_cache
from mlx_lm.tokenizer_utils import TokenizerWrapper

from engine.contract.errors import InputError
from engine.contract.settings.config import PENALIZED
from engine.serving.access import refusal

APIHandler: Any = server.APIHandler  # mlx-lm's have no types
ResponseGenerator: Any = server.ResponseGenerator
ROLES = ("system", "user", "assistant")
LARGEST_BODY = 8 << 20  # bytes of a request
PATIENCE = 60.0  # seconds that a client may be silent in the middle of a request
CACHES = 4  # conversations whose keys and values are kept
BATCH = 8  # answers that are generated side by side
STOPS = 16  # texts that end an answer, at most
SETTINGS: dict[str, Any] = {
    "adapter_path": None, "draft_model": None, "chat_template": "", "pipeline": False, "trust_remote_code": False,
    "use_default_chat_template": False, "allowed_origins": [], "kv_bits": None, "kv_group_size": 64,
    "quantized_kv_start": 0, "temp": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "num_draft_tokens": 3,
    "prefill_step_size": 2048, "decode_concurrency": BATCH, "prompt_concurrency": BATCH,
    "prompt_cache_size": CACHES, "prompt_cache_bytes": None,
}  # fmt: skip
PENALTIES = ("temperature", "repetition_penalty", "presence_penalty", "frequency_penalty")
LARGEST_SEED = 2**64 - 1


class Listener(ThreadingHTTPServer):
    """A socket that listens; requests wait until `answer_with` gives it a handler and `serve_forever` is called."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        """Raises InputError if the address cannot be had."""
        self.host = host
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family, *_, address = found[0]
            super().__init__((str(address[0]), int(address[1])), BaseHTTPRequestHandler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{host}, port {port}: the endpoint cannot listen there ({reason})") from error

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Prints what failed in one line; a client that broke off is no failure."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"a request failed: {error!r}", file=sys.stderr, flush=True)


class OneModel(server.ModelProvider):
    """Gives mlx-lm's server the run's model, and ignores the model, adapter or draft that a request names."""

    model: Any
    tokenizer: Any
    model_key: Any

    def __init__(self, settings: argparse.Namespace, model: nn.Module, tokenizer: TokenizerWrapper) -> None:
        super().__init__(settings)
        self.model, self.tokenizer, self.model_key = model, tokenizer, (settings.model, None, None)
        self.is_batchable = all(hasattr(cache, "merge") for cache in make_prompt_cache(model))

    def load_default(self) -> None:
        """Does nothing: the model is loaded."""

    def load(self, *_names: Any, **_more: Any) -> tuple[nn.Module, TokenizerWrapper]:
        """Returns the run's model and its tokenizer."""
        return self.model, self.tokenizer


class Responses(ResponseGenerator):  # type: ignore[misc]
    """Generates answers in its own thread; refuses a prompt of more than `longest` tokens."""

    def __init__(self, provider: OneModel, longest: int) -> None:
        self._longest = longest
        super().__init__(provider, LRUPromptCache(CACHES))

    def _tokenize(self, *request: Any) -> Any:
        found = super()._tokenize(*request)
        if len(found[0]) > self._longest:
            raise ValueError(f"the prompt has {len(found[0])} tokens; the model reads {self._longest} at most")
        return found


class Handler(APIHandler):  # type: ignore[misc]
    """Answers requests that carry the token and are for this machine; refuses others, and all but text."""

    timeout = PATIENCE
    body: Any
    max_tokens: Any

    def __init__(self, token: str, name: str, responses: Responses, *request: Any) -> None:
        self.token, self.name = token, name
        super().__init__(responses, *request, system_fingerprint=name)

    def do_POST(self) -> None:
        """Answers a completion."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 20 or int(length) > LARGEST_BODY:
            self._refuse(413, f"Content-Length is {length[:20]!r}; a number up to {LARGEST_BODY} is expected")
        elif self._may_ask():
            super().do_POST()

    def do_GET(self) -> None:
        """Answers /v1/models and /health."""
        if self._may_ask():
            super().do_GET()

    def validate_model_parameters(self) -> None:
        """Holds a request to the run's model and to the longest answer. Raises ValueError for a wrong value."""
        self.requested_model, self.requested_draft_model, self.adapter = self.name, "default_model", None
        self.chat_template_kwargs = None  # a template is a program
        super().validate_model_parameters()
        _require_numbers(self.body, self.seed)
        settings = self.response_generator.cli_args
        self.max_tokens = min(self.max_tokens, settings.max_tokens)
        if "repetition_penalty" not in self.body:
            self.repetition_penalty, self.repetition_context_size = settings.penalty, PENALIZED

    def handle_chat_completions(self) -> server.CompletionRequest:
        """Returns the conversation of a request. Raises ValueError if it has anything but text, or an unknown role."""
        messages = self.body.get("messages")
        if not messages or not _listed(messages):
            raise ValueError("messages must be a list of messages")
        self.body = {"messages": [_plain(message) for message in messages]}
        request: server.CompletionRequest = super().handle_chat_completions()
        return request

    def handle_models_request(self) -> None:
        """Lists the one model."""
        self._answer(200, {"object": "list", "data": [{"id": self.name, "object": "model", "created": self.created}]})

    def log_message(self, *_message: Any) -> None:
        """Logs nothing: a request's path is text from elsewhere."""

    def _may_ask(self) -> bool:
        server: Any = self.server
        asked, given = self.headers.get("Host", ""), self.headers.get("Authorization", "")
        if refused := refusal(server.host, self.token, asked, given):
            self._refuse(*refused)
        return refused is None

    def _refuse(self, status: int, sentence: str) -> None:
        self.close_connection = True
        self._answer(status, {"error": {"message": sentence, "type": "invalid_request_error"}})

    def _answer(self, status: int, found: dict[str, Any]) -> None:
        data = json.dumps(found).encode()
        self._set_completion_headers(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def run(
    listener: Listener, model: nn.Module, tokenizer: TokenizerWrapper, template: dict[str, Any],
    name: str, token: str, max_tokens: int, longest: int, penalty: float,
) -> None:  # fmt: skip
    """Answers requests until `listener.shutdown` is called from another thread.

    `template` are arguments of the chat template. `max_tokens` is the longest answer, `longest` the longest prompt,
    `penalty` that for repetition if a request names none.
    """
    settings = argparse.Namespace(
        **SETTINGS, model=name, max_tokens=max_tokens, chat_template_args=template, penalty=penalty
    )
    responses = Responses(OneModel(settings, model, tokenizer), longest)
    listener.RequestHandlerClass = partial(Handler, token, name, responses)
    try:
        listener.serve_forever()
    finally:
        listener.server_close()
        responses.stop_and_join()


def end_soon(listener: Listener) -> None:
    """Ends `run`; a signal handler may call it, since it does not wait."""
    threading.Thread(target=listener.shutdown, daemon=True).start()


def _require_numbers(body: dict[str, Any], seed: int | None) -> None:
    """Raises ValueError for values that would end mlx-lm's thread of answers."""
    for name in PENALTIES:
        if not math.isfinite(body.get(name) or 0.0):
            raise ValueError(f"{name} must be finite")
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be from 0 to {LARGEST_SEED}")
    if body.get("logit_bias"):
        raise ValueError("logit_bias is not taken")
    stops = body.get("stop")
    if stops and not isinstance(stops, str) and not (_listed(stops) and all(isinstance(stop, str) for stop in stops)):
        raise ValueError("stop must be a text or a list of texts")
    if stops is not None and _listed(stops) and len(stops) > STOPS:
        raise ValueError(f"stop has {len(stops)} texts; {STOPS} at most")


def _listed(value: Any) -> bool:
    return isinstance(value, list)


def _plain(message: Any) -> dict[str, str]:
    """Returns a message with its text as one string. Raises ValueError if it is not text in a known role."""
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise ValueError(f"each message must be an object with a role of {', '.join(ROLES)}")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None
    if not isinstance(content, str):
        raise ValueError("the content of a message must be text; this model reads nothing else")
    return {"role": message["role"], "content": content}
