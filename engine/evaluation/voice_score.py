"""Scores how much an answer sounds like the voice profile, one answer at a time, in pure Python."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.schema import nearest, short
from engine.contract.settings.yaml_file import mapping, read_text
from engine.contract.text_match import one_spelling, whole_words

NEGATIONS = frozenset("no not never nor neither without cannot canna dinna hardly".split())  # and all that ends in n't
CLAUSE_END = re.compile(r"[.;:!?]|\bno,")  # "No, I am a machine" takes nothing back
NEGATION_REACH = 3  # words before a hit, in the same clause, in which a negation takes the claim back
REPEATED_SHARE = 0.3  # share of repeated 4-grams from which an answer counts as stuck
REPEATED_WORD_SHARE = 0.4  # share of one word from which a short answer counts as stuck
STUTTER = re.compile(r"(?=.{0,7}\w)(.{1,8}?)\1{9,}", re.DOTALL)  # ten times the same letters: a word without an end
SCORES = ("accuracy", "voice", "concepts")  # of every answer: a marker group has another name


@dataclass(frozen=True, slots=True)
class MarkerGroup:
    """Patterns that belong together; full marks for `expected` distinct ones in an answer."""

    name: str
    weight: float
    expected: int
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class Distinction:
    """Something this voice would never say: a hit caps the answer at 0 and is reported by name."""

    name: str
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class VoiceProfile:
    """What voice.yaml says."""

    name: str
    groups: tuple[MarkerGroup, ...]
    avoid: tuple[re.Pattern[str], ...]
    avoid_penalty: float
    distinctions: tuple[Distinction, ...]


@dataclass(frozen=True, slots=True)
class VoiceScore:
    """The voice of one answer: score and components lie in [0, 1].

    Markers and violations quote the answer, but a distinction is named; `quotes` has what was said against it.
    """

    score: float
    components: dict[str, float]
    markers: tuple[str, ...]
    violations: tuple[str, ...]
    quotes: dict[str, str]
    health: str  # ok, empty, special_tokens or repeating; any but ok scores 0


def score(profile: VoiceProfile, answer: str, special_tokens: Iterable[str] = ()) -> VoiceScore:
    """Scores one answer; never give it several answers joined, since distinct markers would add up over them."""
    text = one_spelling(answer)
    state = health(text, special_tokens)
    if state != "ok":
        return VoiceScore(0.0, {group.name: 0.0 for group in profile.groups}, (), (), {}, state)
    components, markers = {}, []
    for group in profile.groups:
        found = [hit.group(0) for pattern in group.patterns if (hit := pattern.search(text))]
        components[group.name] = min(1.0, len(found) / group.expected)
        markers += found
    avoided = _claims(profile.avoid, text)
    confused = {item.name: said[0] for item in profile.distinctions if (said := _claims(item.patterns, text))}
    weights = sum(group.weight for group in profile.groups)
    value = sum(group.weight * components[group.name] for group in profile.groups) / weights
    value = 0.0 if confused else max(0.0, value - profile.avoid_penalty * len(avoided))
    return VoiceScore(value, components, tuple(markers), (*confused, *avoided), confused, state)


def named(concepts: Sequence[str], answer: str) -> list[str]:
    """The concepts that an answer names, each as whole words."""
    text = one_spelling(answer)
    return [concept for concept in concepts if whole_words(re.escape(concept)).search(text)]


def health(answer: str, special_tokens: Iterable[str] = ()) -> str:
    """Says whether an answer is text at all: "ok", "empty", "special_tokens" or "repeating"."""
    words = re.findall(r"\w[\w']*", answer.lower())
    if not words:
        return "empty"
    if any(token and token in answer for token in special_tokens):
        return "special_tokens"
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
    commonest = max(words.count(word) for word in set(words))
    stuck = len(words) >= 4 and commonest / len(words) > REPEATED_WORD_SHARE
    return "repeating" if repeated > REPEATED_SHARE or stuck or STUTTER.search(answer) else "ok"


def _claims(patterns: Iterable[re.Pattern[str]], text: str) -> list[str]:
    return [claim for pattern in patterns if (claim := _claim(pattern, text))]


def _claim(pattern: re.Pattern[str], text: str) -> str | None:
    """The first hit that no negation takes back."""
    for hit in pattern.finditer(text):
        clause = CLAUSE_END.split(text[: hit.start()].lower())[-1]
        before, inside = re.findall(r"[\w']+", clause), re.findall(r"[\w']+", hit.group(0).lower())
        if not any(word in NEGATIONS or word.endswith("n't") for word in before[-NEGATION_REACH:] + inside):
            return hit.group(0)
    return None


def load_profile(path: Path) -> VoiceProfile:
    """Reads voice.yaml; raises InputError with the file and the field."""
    try:
        found = mapping(path, read_text(path))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; it says what makes the voice, without which nothing is scored"
        ) from error
    reader = _Reader(path)
    data = reader.mapping(found, "the file", {"name", "groups", "avoid", "avoid_penalty", "distinctions"})
    groups = tuple(reader.group(item, f"groups[{i}]") for i, item in enumerate(reader.items(data, "groups")))
    if not groups:
        raise InputError(f"{path}: groups is empty; a voice needs at least one group of markers")
    names = [group.name for group in groups]
    for i, name in enumerate(names):
        if name in SCORES or name in names[:i]:
            taken = "no score has" if name in SCORES else "no other group has"
            raise reader.fail(f"groups[{i}].name", name, f"a name that {taken}")
    return VoiceProfile(
        name=str(data.get("name", path.parent.name)),
        groups=groups,
        avoid=reader.patterns(data.get("avoid", []), "avoid"),
        avoid_penalty=reader.number(data.get("avoid_penalty", 0.15), "avoid_penalty", 0.0, 1.0),
        distinctions=tuple(
            reader.distinction(item, f"distinctions[{i}]") for i, item in enumerate(reader.items(data, "distinctions"))
        ),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes the YAML apart and names the file and the field in every complaint."""

    path: Path

    def fail(self, field: str, found: Any, expected: str) -> InputError:
        return InputError(f"{self.path}: {field} is {'empty' if found is None else short(found)}; expected {expected}")

    def mapping(self, value: Any, field: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(field, value, "a mapping")
        if unknown := set(map(str, value)) - known:
            raise InputError(f"{self.path}: {field}: unknown key {min(unknown)!r}{nearest(min(unknown), known)}")
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
        try:
            for item in value:
                re.compile(item)  # by itself first: "[" or "a)(b" would be whole only inside what stands around it
            found = tuple(map(whole_words, value))
        except re.error as error:
            raise self.fail(field, error.pattern, f"a regular expression ({error})") from error
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
