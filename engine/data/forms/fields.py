"""Reads single fields of a row: text, flags and marks; each error message names the place and the field."""

import json
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.yaml_file import kind
from engine.contract.wording import short

MAX_TEXT = 8 << 20  # characters of a field
NOT_TRAINED = ("weight", "train", "training", "trainable", "loss")  # marks of a message: 0 or false is not trained on
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def text(where: str, data: dict[str, Any], name: str) -> str:
    """Returns the text of a field, stripped; raises InputError if it is not text, is empty or is too long."""
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        found = "empty text" if isinstance(value, str) else kind(value)
        raise InputError(f"{where}: {name}: found {found}, expected text")
    if len(value) > MAX_TEXT:
        raise InputError(f"{where}: {name}: found {len(value):,} characters, expected {MAX_TEXT:,} at most")
    require_whole(f"{where}: {name}", value)
    return value.strip()


def optional_text(where: str, data: dict[str, Any], name: str) -> str:
    """Returns the text of a field that may be absent or empty; an empty string then."""
    value = data.get(name)
    return "" if value is None or (isinstance(value, str) and not value.strip()) else text(where, data, name)


def flag(where: str, data: dict[str, Any], name: str) -> bool | None:
    """Returns the value of a field that is true or false; None if it is absent."""
    value = data.get(name)
    if isinstance(value, str) and value.casefold() in ("true", "false"):  # a cell of a CSV file
        return value.casefold() == "true"
    if value is not None and not isinstance(value, bool):
        raise InputError(f"{where}: {name}: found {short(value)}, expected true or false")
    return value


def truth(where: str, name: str, value: Any) -> bool:
    """Returns whether a mark such as `"weight": 0` is set. Raises InputError if it is neither 0, 1, true nor false."""
    found = TRUTH.get(str(value).strip().casefold())
    if found is None:
        raise InputError(f"{where}: {name}: found {short(value)}, expected 0 or 1: no other weight is known")
    return found


def decoded(where: str, name: str, value: Any) -> Any:
    """Returns a list or mapping that a file holds as JSON text, such as a cell of a CSV file; other values as is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", type(error).__name__)
            raise InputError(
                f"{where}: {name}: found text that begins like JSON but is not valid ({reason})"
            ) from error
    return value


def require_whole(field: str, value: str) -> None:
    """Raises InputError for half of a surrogate pair.

    JSON allows one, but it can neither be tokenized nor written to a file.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half, place = ascii(value[error.start]), error.start + 1
        raise InputError(
            f"{field}: character {place} is half of one ({half}), as if an emoji was cut in two"
        ) from error
