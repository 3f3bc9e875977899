"""Scores how much an answer sounds like the voice profile, one answer at a time, in pure Python."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.contract.text_match import core, one_spelling, whole_words
from engine.contract.wording import short
from engine.data.voice_profile import VoiceProfile
from engine.evaluation.health import health
from engine.runtime.limits import limited

NEGATIONS = frozenset("no not never nor neither without cannot canna dinna hardly".split())  # and all that ends in n't
CLAUSE_END = re.compile(r"[.;:!?]|\bno,")  # "No, I am a machine" takes nothing back
PATIENCE = 10.0  # seconds that a pattern may compute on one answer; one that ends takes microseconds
NEGATION_REACH = 3  # words before a hit, in the same clause, in which a negation takes the claim back


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
        found = [hit.group(0) for pattern in group.patterns if (hit := _first(pattern, text))]
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


def _claims(patterns: Iterable[re.Pattern[str]], text: str) -> list[str]:
    return [claim for pattern in patterns if (claim := _claim(pattern, text))]


def _first(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    with limited(PATIENCE, _called(pattern)):
        return pattern.search(text)


def _called(pattern: re.Pattern[str]) -> str:
    return f"voice.yaml: the pattern {short(core(pattern))} on one answer"


def _claim(pattern: re.Pattern[str], text: str) -> str | None:
    """The first hit that no negation takes back."""
    with limited(PATIENCE, _called(pattern)):
        hits = list(pattern.finditer(text))
    for hit in hits:
        clause = CLAUSE_END.split(text[: hit.start()].lower())[-1]
        before, inside = re.findall(r"[\w']+", clause), re.findall(r"[\w']+", hit.group(0).lower())
        if not any(word in NEGATIONS or word.endswith("n't") for word in before[-NEGATION_REACH:] + inside):
            return hit.group(0)
    return None
