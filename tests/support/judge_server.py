"""A small server that speaks as a judge's endpoint does, well or badly."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-of-the-test"
TEXT = re.compile(r"<answer>\n(.*)\n</answer>", re.DOTALL)
QUESTION = re.compile(r"<question>\n(.*)\n</question>", re.DOTALL)
RUBRICS = {"makes as a text": "sense", "answers the question": "content", "also wrote the answer": "likeness"}


class Asked:
    """One request: its prompt taken apart."""

    def __init__(self, body: dict[str, Any], headers: Any) -> None:
        self.body, self.headers = body, headers
        self.prompt: str = body["messages"][0]["content"]
        self.answer, self.question = TEXT.search(self.prompt)[1], QUESTION.search(self.prompt)[1]  # type: ignore[index]
        self.aspect = next(name for words, name in RUBRICS.items() if words in self.prompt)


Behave = Callable[["Handler", Asked], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the server's behaviour."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(body, self.headers)
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):  # the client may have left
            self.server.behave(self, asked)  # type: ignore[attr-defined]

    def say(self, content: Any) -> None:
        """Answers as a model that says `content`."""
        self.send(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode())

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Prints nothing."""


class JudgeServer(ThreadingHTTPServer):
    """A server on a free port of this machine. `behave` answers; `asked` has every request."""

    daemon_threads = True

    def __init__(self, behave: Behave, place: tuple[str, int]) -> None:
        super().__init__(place, Handler)
        self.behave = behave
        self.asked: list[Asked] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextlib.contextmanager
def serving(behave: Behave, place: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[JudgeServer]:
    """Serves until the block ends."""
    server = JudgeServer(behave, place)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def replies(content: Any) -> Behave:
    return lambda handler, asked: handler.say(content)


def status(code: int, **headers: str) -> Behave:
    return lambda handler, asked: handler.send(code, b"the body of an error, with " + KEY.encode(), **headers)


def raw(data: bytes) -> Behave:
    return lambda handler, asked: handler.send(200, data)


def closes_half_way(handler: Handler, _asked: Asked) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


def never_answers(handler: Handler, _asked: Asked) -> None:
    time.sleep(20)


def drips(handler: Handler, _asked: Asked) -> None:
    """A byte at a time, so that no single read ever takes long."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def huge(handler: Handler, _asked: Asked) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b" " * (1 << 20))
