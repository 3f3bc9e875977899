"""Reads the optional voice.yaml: marker groups to show, patterns to avoid, and distinctions."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.settings.yaml_file import mapping, read_text
from engine.contract.text_match import whole_words
from engine.contract.vocabulary import PER_ANSWER
from engine.contract.wording import nearest, short

LONGEST = 2000  # characters of a pattern


@dataclass(frozen=True, slots=True)
class MarkerGroup:
    """Patterns that belong together; an answer gets the full score if it has `expected` distinct ones."""

    name: str
    weight: float
    expected: int
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class Distinction:
    """Something this voice would never say; a match sets the answer's score to 0 and is reported by name."""

    name: str
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class VoiceProfile:
    """The content of voice.yaml."""

    name: str
    groups: tuple[MarkerGroup, ...]
    avoid: tuple[re.Pattern[str], ...]
    avoid_penalty: float
    distinctions: tuple[Distinction, ...]


def load_profile(path: Path) -> VoiceProfile:
    """Reads voice.yaml; returns an empty profile if the file does not exist.

    Raises InputError that names the file and the field.
    """
    if not path.exists():
        return VoiceProfile(path.parent.name, (), (), 0.15, ())
    found = mapping(path, read_text(path))
    reader = _Reader(path)
    data = reader.mapping(found, "the file", {"name", "groups", "avoid", "avoid_penalty", "distinctions"})
    groups = tuple(reader.group(item, f"groups[{i}]") for i, item in enumerate(reader.items(data, "groups")))
    names, name = [group.name for group in groups], data.get("name", path.parent.name)
    if isinstance(name, dict | list):
        raise reader.fail("name", name, "a name")
    for i, group in enumerate(names):
        if group in PER_ANSWER or group in names[:i]:
            taken = "no score has" if group in PER_ANSWER else "no other group has"
            raise reader.fail(f"groups[{i}].name", group, f"a name that {taken}")
    return VoiceProfile(
        name=str(name),
        groups=groups,
        avoid=reader.patterns(data.get("avoid", []), "avoid"),
        avoid_penalty=reader.number(data.get("avoid_penalty", 0.15), "avoid_penalty", 0.0, 1.0),
        distinctions=tuple(
            reader.distinction(item, f"distinctions[{i}]") for i, item in enumerate(reader.items(data, "distinctions"))
        ),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Parses the YAML; each error message names the file and the field."""

    path: Path

    def fail(self, field: str, found: Any, expected: str) -> InputError:
        return InputError(f"{self.path}: {field} is {'empty' if found is None else short(found)}; expected {expected}")

    def mapping(self, value: Any, field: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(field, value, "a mapping")
        if unknown := set(map(str, value)) - known:
            raise InputError(f"{self.path}: {field}: unknown key {short(min(unknown))}{nearest(min(unknown), known)}")
        return value

    def items(self, data: dict[str, Any], field: str) -> list[Any]:
        value = data.get(field) or []
        if not isinstance(value, list):
            raise self.fail(field, value, "a list")
        return value

    def number(self, value: Any, field: str, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(field, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def patterns(self, value: Any, field: str) -> tuple[re.Pattern[str], ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fail(field, value, "a list of patterns")
        if long := [item for item in value if len(item) > LONGEST]:
            raise self.fail(field, long[0], f"patterns of at most {LONGEST:,} characters")
        try:
            for item in value:
                re.compile(item)  # alone first: "a)(b" is invalid but would compile inside the text added around it
            found = tuple(map(whole_words, value))
        except (re.error, RecursionError, OverflowError, MemoryError) as error:
            found_in = error.pattern if isinstance(error, re.error) else item
            raise self.fail(field, found_in, f"a regular expression ({error or type(error).__name__})") from error
        for item, pattern in zip(value, found, strict=True):
            if pattern.search(""):
                raise self.fail(field, item, "patterns that do not match empty text: they would be found everywhere")
        return found

    def group(self, value: Any, field: str) -> MarkerGroup:
        data = self.mapping(value, field, {"name", "weight", "expected", "patterns"})
        patterns = self.patterns(data.get("patterns"), f"{field}.patterns")
        expected = data.get("expected", 1)
        if isinstance(expected, bool) or not isinstance(expected, int) or not 1 <= expected <= len(patterns):
            raise self.fail(f"{field}.expected", expected, f"a whole number from 1 to its {len(patterns)} patterns")
        name = data.get("name")
        if not isinstance(name, str) or not name:
            raise self.fail(f"{field}.name", name, "a name")
        weight = self.number(data.get("weight", 1.0), f"{field}.weight", 0.001, 1000.0)
        return MarkerGroup(name, weight, expected, patterns)

    def distinction(self, value: Any, field: str) -> Distinction:
        data = self.mapping(value, field, {"name", "patterns"})
        if not isinstance(data.get("name"), str):
            raise self.fail(f"{field}.name", data.get("name"), "a name")
        return Distinction(data["name"], self.patterns(data.get("patterns"), f"{field}.patterns"))
