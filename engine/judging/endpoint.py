"""Asks a model at an endpoint in the form of OpenAI's API, within limits of time, size and tries."""

import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.judge import Address, JudgeConfig, address_of
from engine.contract.wording import short
from engine.judging.rubric import NoMark

TRIES = 3  # of a request that fails for a moment
WAIT = 1.0  # seconds before the second try; twice as long before the next
LONGEST_WAIT = 30.0  # that a server may ask for
LARGEST = 1 << 20  # bytes of a reply
CHUNK = 1 << 16


class NoReply(NoMark):
    """The endpoint gave no reply at all; the next text will hardly fare better."""


class Busy(NoReply):
    """A failure that may pass: it is tried again after `wait` seconds, if the server named a time."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class Endpoint:
    """A model at an endpoint. `reply` sends one prompt; nothing follows redirects or uses a proxy."""

    def __init__(self, config: JudgeConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises InputError if the key is not in the environment, or is no key."""
        self._config, self._sleep = config, sleep
        self._address: Address = address_of(config, "evaluation.judge")
        self._key = _key(config.key_variable)

    def reply(self, prompt: str) -> str:
        """Returns what the model replies.

        Raises NoMark or NoReply if it does not, and InputError if no other prompt would fare better: the key, the model
        or the path is wrong.
        """
        body = json.dumps(
            {
                "model": self._config.model,
                "messages": [{"role": "user", "content": prompt}],
                "temperature": 0,
                "max_tokens": self._config.max_tokens,
                "stream": False,
            }
        ).encode()
        wait = WAIT
        for left in reversed(range(TRIES)):
            try:
                return self._text(*self._post(body))
            except Busy as busy:
                if not left:
                    raise
                self._sleep(min(LONGEST_WAIT, wait if busy.wait is None else busy.wait))
                wait *= 2
        raise AssertionError("the last try returns or raises")

    def _post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Sends one request. Returns the status, the headers and the body of the response."""
        connection = self._connection()
        late = threading.Event()
        watch: threading.Timer | None = None
        try:
            connection.connect()
            line = connection.sock
            watch = threading.Timer(self._config.timeout, _cut, (line, late))  # a drop a second never times out
            watch.daemon = True
            watch.start()
            connection.request("POST", f"{self._address.path}/chat/completions", body, self._headers())
            response = connection.getresponse()
            data = b""
            while len(data) <= LARGEST and (piece := response.read(CHUNK)):
                data += piece
            if late.is_set():
                raise TimeoutError
            if len(data) > LARGEST:
                raise NoMark(f"the reply has more than {LARGEST >> 20} MB")
            if response.length:  # bytes that were announced and never came
                raise Busy("the endpoint closed the connection in the middle of its reply")
            return response.status, {name.lower(): value for name, value in response.getheaders()}, data
        except (OSError, HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise NoReply(f"no whole reply in {self._config.timeout:g} s") from error
            if isinstance(error, ssl.SSLCertVerificationError):
                raise InputError(f"{self._address.shown}: its certificate is not trusted ({error.reason})") from error
            why = error.strerror if isinstance(error, OSError) else None
            raise Busy(f"the connection failed ({why or type(error).__name__})") from error
        finally:
            if watch is not None:
                watch.cancel()
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port, limit = self._address.host, self._address.port, self._config.timeout
        if self._address.scheme == "http":
            return HTTPConnection(host, port, timeout=limit)
        return HTTPSConnection(host, port, timeout=limit, context=ssl.create_default_context())

    def _headers(self) -> dict[str, str]:
        found = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        return found | ({"Authorization": f"Bearer {self._key}"} if self._key else {})

    def _text(self, status: int, headers: dict[str, str], data: bytes) -> str:
        where = self._address.shown
        if 300 <= status < 400:
            to = self._without_key(short(headers.get("location", "")))
            raise InputError(f"{where}: it redirects to {to}, and no redirect is followed; name the address itself")
        if status in (401, 403):
            named = self._config.key_variable or "the variable that evaluation.judge.key_variable names"
            raise InputError(f"{where}: it refuses the key (status {status}); put the right one into {named}")
        if status in (404, 405):
            raise InputError(f"{where}: it has no model {short(self._config.model)}, or no chat/completions ({status})")
        if status == 429 or status >= 500:
            raise Busy(f"the endpoint is busy or broken (status {status})", _seconds(headers.get("retry-after")))
        if status != 200:
            raise NoMark(f"the endpoint refuses the text (status {status})")
        try:
            found = json.loads(data)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise NoMark("the reply is not JSON with choices[0].message.content") from error
        if found is not None and not isinstance(found, str):
            raise NoMark("the reply's choices[0].message.content is not text")
        return self._without_key(found or "")

    def _without_key(self, text: str) -> str:
        """Returns a server's words without the key, which it may repeat, since they are written down."""
        return text.replace(self._key, "…") if self._key else text


def _cut(line: socket.socket, late: threading.Event) -> None:
    """Ends a request that takes too long, whatever its thread waits for."""
    late.set()
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise InputError(f"evaluation.judge.key_variable: the environment has no {variable}, or it is empty")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError(f"evaluation.judge.key_variable: {variable} holds no key: it has spaces or odd characters")
    return key


def _seconds(header: Any) -> float | None:
    """Returns the seconds in a Retry-After header; None if it has none."""
    return float(header) if isinstance(header, str) and header.isascii() and header.isdigit() else None
