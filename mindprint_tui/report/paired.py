"""Paired difference of the voices of two runs over the same questions, with a 90 % interval."""

import math
from collections.abc import Sequence
from typing import Any

from engine.contract.intervals import Estimate, mean_estimate, pooled_spread
from engine.contract.journal import events as e
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import BASE, FINAL, Stage
from mindprint_tui.journal.feed import answer_or_start
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.journal.topic_state import TopicState

Voices = dict[str, dict[Stage, dict[str, float]]]  # topic -> stage -> question -> voice of the latest attempt


def read_voices(run: RunDir) -> Voices:
    """Reads the voice of every answer. Empty if the run's engine had no learned style."""
    voices: Voices = {}
    attempts: dict[str, int] = {}
    tail = Tail(run.journal)
    while lines := tail.read():
        for _, line in lines:
            event = answer_or_start(line)
            if isinstance(event, e.TopicStarted) and attempts.get(event.topic) != event.attempt:
                attempts[event.topic] = event.attempt  # a resumed engine repeats this event
                found = voices.get(event.topic, {})
                voices[event.topic] = {BASE: found[BASE]} if BASE in found else {}
            elif isinstance(event, e.Sample) and "style" in event.scores:
                voice = event.scores.get("voice")
                stage = voices.setdefault(event.topic, {}).setdefault(event.stage, {})
                if voice is not None and math.isfinite(voice):
                    stage[event.question] = voice
    return {clean(topic): stages for topic, stages in voices.items()}


def voices_of(topic: TopicState, voices: Voices, exam: bool) -> dict[str, float]:
    """Returns voice by question in the final `exam`, or else of the model that the topic itself leaves behind."""
    left = topic.scores.get(FINAL) if exam else topic.at_end
    if left is None or topic.status != "finished":
        return {}
    return voices.get(topic.info.id, {}).get(left.stage, {})


def differences(topics: Sequence[str], runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Returns how much each run's voice differs from the first run's, over the questions that both answered.

    `runs` has, for each run, topic -> question -> voice. The spread of a topic's differences is pooled over the topics.
    The value is None for the first run, and if two runs share no question.
    """
    changes = [_changes(topics, runs[0], run) for run in runs[1:]]
    rows = {topic: [None, *(_of_topic(topic, change) for change in changes)] for topic in topics}
    every = [[value for values in change.values() for value in values] for change in changes]
    return {"topics": rows, "all": [None, *(_plain(mean_estimate(found)) if found else None for found in every)]}


def _changes(
    topics: Sequence[str], first: dict[str, dict[str, float]], other: dict[str, dict[str, float]]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for topic in topics:
        before, after = first.get(topic, {}), other.get(topic, {})
        if asked := [question for question in before if question in after]:
            found[topic] = [after[question] - before[question] for question in asked]
    return found


def _of_topic(topic: str, changes: dict[str, list[float]]) -> dict[str, Any] | None:
    values = changes.get(topic)
    if not values:
        return None
    return _plain(mean_estimate(values, pooled_spread(list(changes.values()))))


def _plain(found: Estimate) -> dict[str, Any]:
    """Returns an estimate as plain data. The interval is None if the spread is unknown."""
    known = not math.isnan(found.low)
    interval = [found.low, found.high] if known else None
    return {"difference": found.mean, "interval": interval, "questions": found.n}
