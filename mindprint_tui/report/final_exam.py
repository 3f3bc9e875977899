"""The final exam in a report: its tiles, and the map of the voices of all topics at all stages."""

from collections.abc import Iterable
from typing import Any

from engine.contract.vocabulary import BASE, FINAL, SCORED_STAGES, Stage
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.final_exam import lost
from mindprint_tui.view.text import number

Tile = tuple[str, str, str]


def exam_tiles(state: RunState) -> list[Tile]:
    """Returns the tiles of the final exam and of the language kept; none if nothing was measured."""
    tiles: list[Tile] = []
    if (examined := state.examined) is not None:
        gone = f"; forgotten: {len(examined.forgotten)}" if examined.forgotten else ""
        note = f"since the topics' own ends, over {examined.answers:,} answers of {examined.compared:,} topics{gone}"
        tiles.append(("final exam", lost(examined) or number(None), note))
    topics = state.topics.values()
    before, after = _language(topics, BASE), _latest(topics)
    if before is not None and after is not None:
        tiles.append(("loss of neutral text", number(after), f"nats per token; the base model's is {number(before)}"))
    return tiles


def _language(topics: Iterable[TopicState], stage: Stage) -> float | None:
    found = (topic.scores[stage].language_loss for topic in topics if stage in topic.scores)
    return next((loss for loss in found if loss is not None), None)


def _latest(topics: Iterable[TopicState]) -> float | None:
    """Returns the loss in the final exam, or of the last topic's end if there was none yet."""
    exam = _language(topics, FINAL)
    ends = [topic.at_end for topic in topics if topic.status == "finished" and topic.kept and topic.at_end]
    known = [end.language_loss for end in ends if end.language_loss is not None]
    return exam if exam is not None else known[-1] if known else None


def voice_map(topics: Iterable[TopicState]) -> list[dict[str, Any]]:
    """Returns a row for each topic, with the voice at each stage from 0 to 1, or None if it was not scored."""
    return [
        {
            "id": topic.info.id,
            "title": topic.info.title,
            "cells": [_cell(topic, stage) for stage in SCORED_STAGES],
        }
        for topic in topics
    ]


def _cell(topic: TopicState, stage: Stage) -> dict[str, Any] | None:
    score = topic.scores.get(stage)
    if score is None:
        return None
    return {
        "voice": score.voice,
        "share": round(100 * min(1.0, max(0.0, score.voice))),
        "undone": stage in topic.undone,
    }
