"""Finds markers of voice.yaml and expected concepts in an answer, for display and not for the score."""

import re
from collections.abc import Sequence

from engine.contract.text_match import one_spelling, whole_words
from engine.data.voice_profile import VoiceProfile
from engine.evaluation.score.pattern_search import matches


def find_markers(profile: VoiceProfile, answer: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Returns each group's share of its expected markers, from 0 to 1, and the markers as written in the answer."""
    text = one_spelling(answer)
    shares, markers = {}, []
    for group in profile.groups:
        found = [hits[0].group(0) for pattern in group.patterns if (hits := matches(pattern, text))]
        shares[group.name] = min(1.0, len(found) / group.expected)
        markers += found
    return shares, tuple(markers)


def named(concepts: Sequence[str], answer: str) -> list[str]:
    """Returns the concepts that occur in an answer as whole words."""
    text = one_spelling(answer)
    return [concept for concept in concepts if whole_words(re.escape(concept)).search(text)]
