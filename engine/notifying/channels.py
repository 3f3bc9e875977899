"""The ways to send a message: each raises NotTold with the reason if it could not be delivered."""

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, NamedTuple

from engine.contract.settings.notify import NotifyConfig

LIMIT = 15.0  # seconds that a service or a command may take
ANSWER = 1 << 16  # bytes of a service's answer that are read
Send = Callable[["Message"], None]


class NotTold(Exception):
    """A message could not be delivered; the text says why, without the address."""


class Message(NamedTuple):
    """What to tell: `kind` is that of the occasion."""

    run: str
    kind: str
    text: str

    @property
    def title(self) -> str:
        return f"mindprint: {self.run}"

    @property
    def data(self) -> bytes:
        """The message as a JSON object."""
        return json.dumps(self._asdict() | {"title": self.title}).encode()


def channels(config: NotifyConfig) -> dict[str, Send]:
    """Returns the ways that a configuration names."""
    found: dict[str, Send] = {}
    if config.ntfy:
        found["ntfy"] = lambda message: _post(config.ntfy, message.text.encode(), {"Title": message.title})
    if config.webhook:
        found["webhook"] = lambda message: _post(config.webhook, message.data, {"Content-Type": "application/json"})
    if config.apprise:
        found["apprise"] = lambda message: _apprise(config.apprise, message)
    if config.command:
        found["command"] = lambda message: _run(config.command, message.data)
    if config.desktop:
        found["desktop"] = _desktop
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a message goes to the named address and to no other."""

    def redirect_request(
        self, _request: Any, _file: IO[bytes], _code: int, _words: str, _headers: HTTPMessage, _address: str
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _post(address: str, body: bytes, headers: Mapping[str, str]) -> None:
    try:
        request = urllib.request.Request(address, body, dict(headers) | {"User-Agent": "mindprint-tui"}, method="POST")
        with _OPENER.open(request, timeout=LIMIT) as answer:
            answer.read(ANSWER)
    except urllib.error.HTTPError as error:
        raise NotTold(f"the service answered {error.code}") from error
    except TimeoutError as error:
        raise NotTold(f"no answer in {LIMIT:.0f} s") from error
    except urllib.error.URLError as error:
        raise NotTold(f"the service cannot be reached ({error.reason})") from error
    except (HTTPException, OSError, ValueError) as error:
        raise NotTold(f"the service did not answer in HTTP ({type(error).__name__})") from error


def _apprise(addresses: tuple[str, ...], message: Message) -> None:
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise NotTold("Apprise is not installed: pip install 'mindprint-tui[notify]'") from error
    service = apprise.Apprise()
    if not all([service.add(address) for address in addresses]):
        raise NotTold("Apprise does not know one of the addresses")
    if not service.notify(body=message.text, title=message.title):
        raise NotTold("Apprise could not deliver it")


def _run(command: tuple[str, ...], data: bytes) -> None:
    try:
        done = subprocess.run(command, input=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        raise NotTold(f"the command took more than {LIMIT:.0f} s") from error
    except OSError as error:
        raise NotTold(f"the command cannot be started ({error.strerror})") from error
    if done.returncode:
        raise NotTold(f"the command ended with status {done.returncode}")


def _desktop(message: Message) -> None:
    if sys.platform == "darwin":
        script = "on run {title, text}\ndisplay notification text with title title\nend run"
        return _run(("osascript", "-e", script, message.title, message.text), b"")
    if shutil.which("notify-send") is None:
        raise NotTold("this machine has no notify-send")
    return _run(("notify-send", "--app-name=mindprint", "--", message.title, message.text), b"")
