"""Builds frozen dataclasses from plain YAML data, and names the field that does not fit."""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from engine.contract.wording import nearest, short

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class FieldError(ValueError):
    """A field does not fit: `field` is its dotted path, `problem` says what was found and what was expected."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


def build(cls: type, data: Any, path: str = "") -> Any:
    """Builds dataclass `cls` from a mapping; raises FieldError.

    The error for an unknown key suggests the nearest known key. A number may also be text, because YAML 1.1 reads
    `5e-7` as text.
    """
    if not isinstance(data, Mapping):
        raise FieldError(path, f"found {short(data)}, expected a mapping")
    hints, fields = _shape(cls)
    for key in data:
        if key not in fields:
            raise FieldError(_join(path, key), f"unknown key{nearest(str(key), fields)}")
    values = {}
    for name, field in fields.items():
        where = _join(path, name)
        if name in data:
            values[name] = _value(hints[name], data[name], where)
            _bounds(field, values[name], where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise FieldError(where, "is missing")
    return cls(**values)


def number(default: float | int, low: float, high: float = math.inf) -> Any:
    """Returns a dataclass field for a number from low to high, both included."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@cache
def _shape(cls: type) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    return typing.get_type_hints(cls), {field.name: field for field in dataclasses.fields(cls)}


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _bounds(field: dataclasses.Field[Any], value: Any, path: str) -> None:
    if "low" not in field.metadata or not isinstance(value, int | float):
        return
    low, high = field.metadata["low"], field.metadata["high"]
    if not low <= value <= high:
        least, most = (str(bound) if isinstance(bound, int) else f"{bound:g}" for bound in (low, high))
        expected = f"from {least} to {most}" if high < math.inf else f"of at least {least}"
        raise FieldError(path, f"found {short(value)}, expected a number {expected}")


@cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(hint), typing.get_args(hint)


def _value(hint: Any, value: Any, path: str) -> Any:
    origin, args = _parts(hint)
    if hint is Any:
        return value
    if origin is typing.Literal:
        if not any(value is item or (value == item and type(value) is type(item)) for item in args):
            raise FieldError(path, f"found {short(value)}, expected one of {', '.join(map(str, args))}")
        return value
    if origin in (typing.Union, types.UnionType):
        return _union(args, value, path)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise FieldError(path, f"found {short(value)}, expected a list")
        return origin(_value(args[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise FieldError(path, f"found {short(value)}, expected a mapping")
        return {key: _value(args[1], item, _join(path, key)) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path)
    return _plain(hint, value, path)


def _union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in args:
        return None
    if isinstance(value, Mapping) and (inner := [arg for arg in args if dataclasses.is_dataclass(arg)]):
        return _value(inner[0], value, path)
    last = FieldError(path, f"found {short(value)}")
    for arg in args:
        if arg is not type(None):
            try:
                return _value(arg, value, path)
            except FieldError as error:
                last = error
    raise last


def _plain(hint: Any, value: Any, path: str) -> Any:
    if hint is float and isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError as error:
            raise FieldError(path, f"found {short(value)}, expected a smaller number") from error
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise FieldError(path, f"found {value!r}, expected a finite number")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        words = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing"}
        raise FieldError(path, f"found {short(value)}, expected {words.get(hint, hint)}")
    return value
