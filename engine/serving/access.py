"""Decides who may ask an endpoint: by address, by the host name of a request, and by a token."""

import hmac
import ipaddress

from engine.contract.errors import InputError

TOKEN = "MINDPRINT_TOKEN"  # environment variable; a command line can be read by every user of the machine
HERE = "localhost"


def is_local(host: str) -> bool:
    """Returns whether the address or name is this machine's own, which no other machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == HERE


def require_token(host: str, token: str) -> None:
    """Raises InputError if other machines could reach the endpoint without a token."""
    if not is_local(host) and not token:
        raise InputError(f"--host {host}: other machines reach this address; put a token into {TOKEN}, or drop --host")


def refusal(host: str, token: str, asked_host: str, authorization: str) -> tuple[int, str] | None:
    """Returns status and reason if a request may not be answered, else None.

    `host` is where the endpoint listens, `asked_host` the request's Host header. A web page can let its own name point
    to this machine and so ask a local endpoint; the header shows that name.
    """
    if is_local(host) and not is_local(_name(asked_host)):
        return 403, "the request is for another host name than this machine's"
    if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()) and token:
        return 401, "the token is missing or wrong; send the header: Authorization: Bearer TOKEN"
    return None


def _name(header: str) -> str:
    """Returns the name in a Host header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
