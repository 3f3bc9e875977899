"""Turns plain data (from YAML or JSON) into frozen dataclasses, and says which field is wrong when it cannot."""

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
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # how a journal writes what JSON has no word for


class FieldError(ValueError):
    """A field that does not fit: `field` is its dotted path, the text says what was found and what was expected."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


def build(cls: type, data: Any, path: str = "", *, strict: bool = True) -> Any:
    """Builds dataclass `cls` from a mapping.

    Strict (configuration): an unknown key is refused with the nearest known one, and a number may be written as
    YAML 1.1 mistakes it for text (`5e-7`). Not strict (journal): unknown keys are ignored, and "nan", "inf" and "-inf"
    are numbers. Raises FieldError.
    """
    if not isinstance(data, Mapping):
        raise FieldError(path, f"found {short(data)}, expected a mapping")
    hints, fields, taken = _shape(cls)
    if strict:
        for key in data:
            if key not in fields:
                raise FieldError(_join(path, key), f"unknown key{nearest(str(key), fields)}")
    values = {}
    for name, field in fields.items():
        if not strict and name in data and type(data[name]) in taken[name]:
            values[name] = data[name]  # most fields of most events: a long journal is read several times faster
            continue
        where = _join(path, name)
        if name in data:
            values[name] = _value(hints[name], data[name], where, strict)
            _bounds(field, values[name], where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise FieldError(where, "is missing")
    return cls(**values)


def number(default: float | int, low: float, high: float = math.inf) -> Any:
    """A dataclass field that holds a number from low to high, both included."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@cache
def _shape(cls: type) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]], dict[str, tuple[Any, ...]]]:
    """The hints, the fields, and for each field the types whose values need no further look (no bounds, no parts)."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    plain = (str, int, float, bool, type(None))
    taken = {name: tuple(t for t in (typing.get_args(hints[name]) or (hints[name],)) if t in plain) for name in fields}
    for name, field in fields.items():
        if "low" in field.metadata or typing.get_origin(hints[name]) not in (None, typing.Union, types.UnionType):
            taken[name] = ()
    return hints, fields, taken


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


def _value(hint: Any, value: Any, path: str, strict: bool) -> Any:
    origin, args = _parts(hint)
    if hint is Any:
        return value
    if origin is typing.Literal:
        if not any(value is item or (value == item and type(value) is type(item)) for item in args):
            raise FieldError(path, f"found {short(value)}, expected one of {', '.join(map(str, args))}")
        return value
    if origin in (typing.Union, types.UnionType):
        return _union(args, value, path, strict)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise FieldError(path, f"found {short(value)}, expected a list")
        return origin(_value(args[0], item, f"{path}[{i}]", strict) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise FieldError(path, f"found {short(value)}, expected a mapping")
        return {key: _value(args[1], item, _join(path, key), strict) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path, strict=strict)
    return _plain(hint, value, path, strict)


def _union(args: tuple[Any, ...], value: Any, path: str, strict: bool) -> Any:
    if value is None and type(None) in args:
        return None
    if isinstance(value, Mapping) and (inner := [arg for arg in args if dataclasses.is_dataclass(arg)]):
        return _value(inner[0], value, path, strict)
    last = FieldError(path, f"found {short(value)}")
    for arg in args:
        if arg is not type(None):
            try:
                return _value(arg, value, path, strict)
            except FieldError as error:
                last = error
    raise last


def _plain(hint: Any, value: Any, path: str, strict: bool) -> Any:
    if hint is float and strict and isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if hint is float and not strict and isinstance(value, str):
        value = NOT_FINITE.get(value, value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError as error:
            raise FieldError(path, f"found {short(value)}, expected a smaller number") from error
    if hint is float and strict and isinstance(value, float) and not math.isfinite(value):
        raise FieldError(path, f"found {value!r}, expected a finite number")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        words = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing"}
        raise FieldError(path, f"found {short(value)}, expected {words.get(hint, hint)}")
    return value
