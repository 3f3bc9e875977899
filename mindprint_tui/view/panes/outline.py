"""The topics as rows: units and chapters with what their topics add up to, and the order of it all."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.contract.vocabulary import ATTEMPT_STAGES, PASSED, STAGES, START, VERDICTS
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.text import number


class Row(NamedTuple):
    """A unit, a chapter or a topic; sums are over the topics below it."""

    kind: Literal["unit", "chapter", "topic"]
    id: str
    title: str
    topics: int
    finished: int
    passed: int
    voice: float | None  # mean over the topics of which a phase was kept


@dataclass(slots=True)
class Sum:
    """What a unit or chapter adds up to while its topics are counted."""

    place: int
    title: str
    topics: int = 0
    finished: int = 0
    passed: int = 0
    scored: int = 0
    voice: float = 0.0


@dataclass(frozen=True, slots=True)
class Outline:
    """`places` is topic -> row, `numbers` topic -> its number from 1, `trend` the voices of trained topics in order."""

    rows: list[Row]
    places: dict[str, int]
    numbers: dict[str, int]
    voices: dict[str, str]
    trend: list[float]
    finished: int
    waiting: int  # for their first attempt, or for a retry
    trained: int
    trained_seconds: float


def kept_voice(topic: TopicState) -> float | None:
    """The voice of what was kept of a topic; None where no phase of it was."""
    return topic.final.voice if topic.kept and topic.final else None


def voices(topic: TopicState) -> str:
    """Voice before → SFT → DPO; ⟲ leads to what was not kept.

    Where earlier topics have taught some of it, the start stands between, by name: SFT builds on it, not on `before`.
    """
    text, undone = "", topic.undone
    for stage in ATTEMPT_STAGES:
        if (score := topic.scores.get(stage)) is None:
            continue
        shown = number(score.voice)
        if stage == START:
            if shown == text:
                continue
            shown = f"{STAGES[START].short} {shown}"
        text += ("⟲" if stage in undone else "→" if text else "") + shown
    return text


def outline(topics: dict[str, TopicState]) -> Outline:
    """One pass over all topics; made anew only when a topic changed."""
    rows: list[Row | None] = []
    sums: dict[str, Sum] = {}
    places: dict[str, int] = {}
    trend: list[float] = []
    trained, seconds, finished, waiting = 0, 0.0, 0, 0
    last: tuple[str | None, str | None] = (None, None)
    for id, topic in topics.items():
        unit, _, rest = id.partition("/")
        chapter = f"{unit}/{rest.partition('/')[0]}"
        if unit != last[0] and unit not in sums:
            sums[unit] = Sum(len(rows), one_line(topic.info.unit_title or unit))
            rows.append(None)
        if chapter != last[1] and chapter not in sums:
            sums[chapter] = Sum(len(rows), one_line(topic.info.chapter_title or chapter))
            rows.append(None)
        last = (unit, chapter)
        voice, over = kept_voice(topic), topic.status == "finished"
        for part in (sums[unit], sums[chapter]):
            part.topics += 1
            part.finished += over
            part.passed += topic.verdict == PASSED
            if voice is not None:
                part.scored += 1
                part.voice += voice
        if voice is not None:
            trend.append(voice)
        finished += over
        waiting += topic.standing == "pending" and not topic.unwanted
        if over and topic.verdict and VERDICTS[topic.verdict].scored:
            trained, seconds = trained + 1, seconds + topic.worked
        places[id] = len(rows)
        rows.append(Row("topic", id, topic.info.title, 1, over, topic.verdict == PASSED, voice))
    for id, part in sums.items():
        mean = part.voice / part.scored if part.scored else None
        kind: Literal["unit", "chapter"] = "chapter" if "/" in id else "unit"
        rows[part.place] = Row(kind, id, part.title, part.topics, part.finished, part.passed, mean)
    numbers = {id: place for place, id in enumerate(topics, 1)}
    shown = {id: text for id, topic in topics.items() if topic.status != "pending" and (text := voices(topic))}
    made = [row for row in rows if row]
    return Outline(made, places, numbers, shown, trend, finished, waiting, trained, seconds)
