"""Messages to services that work, refuse, redirect, answer garbage or not at all; a command and the desktop."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.contract.settings.notify import NotifyConfig
from engine.notifying import channels as c

MESSAGE = c.Message("night", "ended", "27 of 28 topics passed")


class Service(BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    heard: ClassVar[list[tuple[str, bytes, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((self.path, body, self.headers))
        match self.path.split("/")[1]:
            case "refuse":
                self.send_error(403)
            case "redirect":
                self.send_response(302)
                self.send_header("Location", "/ok")
                self.end_headers()
            case "garbage":
                self.wfile.write(b"\x00\xff neither a status nor a header")
            case "close":
                self.connection.shutdown(socket.SHUT_RDWR)
            case "slow":
                threading.Event().wait(1.0)
            case _:
                self.send_response(200)
                self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    Service.heard.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_ntfy_gets_text_with_a_title_and_a_webhook_gets_json(service: str) -> None:
    ways = c.channels(NotifyConfig(ntfy=f"{service}/ok/runs", webhook=f"{service}/ok/hook"))
    for send in ways.values():
        send(MESSAGE)
    (_, text, headers), (_, data, _) = Service.heard
    assert (text.decode(), headers["Title"]) == (MESSAGE.text, "mindprint: night")
    expected = {"run": "night", "kind": "ended", "text": MESSAGE.text, "title": "mindprint: night"}
    assert json.loads(data) == expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("refuse", "answered 403"),
        ("redirect", "answered 302"),
        ("garbage", "did not answer in HTTP"),
        ("close", "cannot be reached|did not answer in HTTP"),
        ("slow", "no answer in|cannot be reached"),
    ],
)
def test_a_service_that_does_not_take_it_is_a_reason_without_its_address(
    service: str, monkeypatch: pytest.MonkeyPatch, path: str, why: str
) -> None:
    monkeypatch.setattr(c, "LIMIT", 0.3)
    send = c.channels(NotifyConfig(webhook=f"{service}/{path}/secret"))["webhook"]
    with pytest.raises(c.NotTold, match=why) as caught:
        send(MESSAGE)
    assert "secret" not in str(caught.value)
    assert len(Service.heard) == 1, "a redirect is not followed"


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(c.NotTold, match="cannot be reached"):
        c.channels(NotifyConfig(ntfy=f"http://127.0.0.1:{port}/x"))["ntfy"](MESSAGE)


def test_a_command_gets_the_message_on_its_input(tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    c.channels(NotifyConfig(command=(sys.executable, "-c", code, str(tmp_path / "out"))))["command"](MESSAGE)
    assert json.loads((tmp_path / "out").read_text())["text"] == MESSAGE.text


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ((sys.executable, "-c", "raise SystemExit(7)"), "status 7"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "took more than"),
        (("/no/such/program",), "cannot be started"),
    ],
)
def test_a_command_that_fails(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], why: str) -> None:
    monkeypatch.setattr(c, "LIMIT", 0.5)
    with pytest.raises(c.NotTold, match=why):
        c.channels(NotifyConfig(command=command))["command"](MESSAGE)


@pytest.mark.skipif(sys.platform != "linux", reason="notify-send is Linux's")
def test_the_desktop_program_gets_text_and_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {tmp_path}/out\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    c.channels(NotifyConfig(desktop=True))["desktop"](MESSAGE._replace(text="--help"))
    assert (tmp_path / "out").read_text() == "--app-name=mindprint|--|mindprint: night|--help|"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(c.NotTold, match="no notify-send"):
        c.channels(NotifyConfig(desktop=True))["desktop"](MESSAGE)
