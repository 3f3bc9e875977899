"""The judge of a run: a larger model, here or at an endpoint, that rates answers after the training."""

import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.contract.schema import FieldError, number
from engine.contract.wording import short

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """A larger model that rates answers for sense and content when the run has ended. It decides nothing."""

    model: str = ""  # an embedded model, a folder or an id on the hub; with `endpoint`, a name there; empty: no judge
    endpoint: str = ""  # base address of an endpoint in the form of OpenAI's API, such as http://127.0.0.1:11434/v1
    key_variable: str = ""  # the environment variable that holds the endpoint's key
    plain_http: bool = False  # allow http:// to another machine: texts and key then travel unencrypted
    timeout: float = number(120.0, 1.0, 3600.0)  # seconds for one reply of the endpoint
    max_tokens: int = number(16, 1, 16384)  # of a reply of the endpoint; a model that thinks first needs more


class Address(NamedTuple):
    """The parts of an endpoint's base address."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def shown(self) -> str:
        """The address as messages and files name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def require_judge(config: JudgeConfig, section: str) -> None:
    """Raises FieldError, with the field in `section`, if the settings name no judge that can be asked."""
    if config.endpoint and not config.model:
        raise FieldError(f"{section}.model", "is missing; it names the model at the endpoint")
    if config.key_variable and not VARIABLE.fullmatch(config.key_variable):  # never quoted: it may be the key itself
        raise FieldError(f"{section}.key_variable", "expected the name of an environment variable, such as JUDGE_KEY")
    if config.endpoint:
        address_of(config, section)


def address_of(config: JudgeConfig, section: str) -> Address:
    """Returns the parts of the endpoint's address. Raises FieldError if it is none, or if it is not encrypted."""
    field, wanted = f"{section}.endpoint", "expected an address such as http://127.0.0.1:11434/v1"
    try:
        parts = urlsplit(config.endpoint)
        port = parts.port
    except ValueError as error:
        raise FieldError(field, f"found no address ({error}), {wanted}") from error
    if "@" in parts.netloc:
        raise FieldError(field, "found a name or a password in the address; put the key into key_variable")
    plain = config.endpoint.isascii() and config.endpoint.isprintable() and " " not in config.endpoint
    if parts.scheme not in PORTS or not parts.hostname or parts.query or parts.fragment or not plain:
        raise FieldError(field, f"found {short(config.endpoint)}, {wanted}")
    if parts.scheme == "http" and not is_here(parts.hostname) and not config.plain_http:
        raise FieldError(
            field,
            f"found {short(config.endpoint)}, which sends texts unencrypted to another machine; expected https://, or "
            "plain_http: true if you want that",
        )
    return Address(parts.scheme, parts.hostname, port or PORTS[parts.scheme], parts.path.rstrip("/"))


def is_here(host: str) -> bool:
    """Tells whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
