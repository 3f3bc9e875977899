"""Warnings about the rows of a topic: unusual forms, lengths, and a voice that fits no row."""

from collections.abc import Sequence
from pathlib import Path

from engine.data.forms.row_types import Pair, SftRow
from engine.data.forms.system_messages import system_of
from engine.data.topic import Topic
from engine.data.voice_profile import VoiceProfile


def form_warnings(topic: Topic) -> list[str]:
    """Returns warnings about rows of an unusual form: plain text, or system messages that the questions do not have."""
    found = []
    if plain := sum(not row.messages for row in topic.sft):
        found.append(
            f"{topic.id}: {plain} of {len(topic.sft)} rows are plain text; they are trained on whole, without the "
            "chat template that the model is asked with"
        )
    rows: tuple[SftRow | Pair, ...] = (*topic.sft, *topic.pairs, *topic.heldout)
    told = sum(any(message.role == "system" for message in row.messages) for row in rows)
    if told and system_of(topic.sft) is None:
        found.append(
            f"{topic.id}: {told} of {len(rows)} rows and pairs have a system message, and not all rows have the same; "
            "questions are asked without one"
        )
    return found


def profile_warnings(profile: VoiceProfile, path: Path, topics: Sequence[Topic]) -> list[str]:
    """Returns a warning if no marker group of voice.yaml matches any text of the person."""
    patterns = [pattern for group in profile.groups for pattern in group.patterns]
    texts = (text for topic in topics for text in topic.texts)
    if not patterns or any(pattern.search(text) for text in texts for pattern in patterns):
        return []
    names = ", ".join(group.name for group in profile.groups)
    return [
        f"{path}: none of its groups ({names}) is found in any of the person's texts; is it the voice of these rows?"
    ]


def length_ratio(topic: Topic) -> float | None:
    """Returns the total length of rejected answers divided by that of chosen ones; None without a training pair."""
    if not topic.pairs:
        return None
    return sum(len(pair.rejected) for pair in topic.pairs) / sum(len(pair.chosen) for pair in topic.pairs)


def length_warnings(topic: Topic) -> list[str]:
    """Rule 22: warns if rejected answers are much shorter or longer than chosen ones, since DPO then teaches length."""
    ratio = length_ratio(topic)
    if ratio is None or 0.8 <= ratio <= 1.25:
        return []
    return [
        f"{topic.id}: rejected answers are {ratio:.2f} x as long as chosen ones; outside 0.8-1.25 DPO teaches length"
    ]
