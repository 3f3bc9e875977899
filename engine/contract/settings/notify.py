"""Who is told of a run's occasions, and how: the section run.notify, and notify.yaml for all runs of a person."""

import os
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.journal.occasions import KINDS, Kind
from engine.contract.schema import FieldError, build
from engine.contract.settings.yaml_file import mapping, read_text
from engine.contract.wording import short


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """Where messages go. Nothing is sent if no place is named; an attached console rings if `terminal` is set."""

    tell: tuple[Kind, ...] = tuple(KINDS)  # what to tell
    ntfy: str = ""  # address of an ntfy topic, such as https://ntfy.example/my-runs
    webhook: str = ""  # address that gets a JSON object by POST
    apprise: tuple[str, ...] = ()  # addresses of Apprise's services (needs the extra `notify`)
    command: tuple[str, ...] = ()  # a program and its arguments; it gets the JSON object on its input
    desktop: bool = False  # a notification of this machine's desktop
    terminal: bool = True  # bell and OSC 9 in a console that is attached


def require_addresses(config: NotifyConfig, section: str = "") -> None:
    """Raises FieldError if an address is not one of the web."""
    for name in ("ntfy", "webhook"):
        address = getattr(config, name)
        if address and not address.startswith(("http://", "https://")):
            field = f"{section}.{name}" if section else name
            raise FieldError(field, f"found {short(address)}, expected an address that begins with https://")


def person_file() -> Path:
    """The file with a person's settings for all runs."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mindprint" / "notify.yaml"


def for_all_runs() -> NotifyConfig | None:
    """Returns the settings of notify.yaml; None if there is no such file. Raises InputError."""
    path = person_file()
    try:
        data = mapping(path, read_text(path), "a mapping with keys such as ntfy")
    except FileNotFoundError:
        return None
    try:
        found: NotifyConfig = build(NotifyConfig, data)
        require_addresses(found)
    except FieldError as error:
        raise InputError(f"{path}: {error}") from error
    return found


def names_somebody(config: NotifyConfig) -> bool:
    """Tells whether a configuration names a place that messages go to."""
    return bool(config.ntfy or config.webhook or config.apprise or config.command or config.desktop)


def effective(own: NotifyConfig) -> NotifyConfig:
    """Returns a run's own settings if they name a place, or else those for all runs. Raises InputError."""
    return own if names_somebody(own) else for_all_runs() or own
