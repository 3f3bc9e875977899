"""The topics as rows: units and chapters with what their topics add up to, and the order of it all."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.contract.vocabulary import ATTEMPT_STAGES, PASSED, STAGES, START, UNDECIDED, VERDICTS
from mindprint_tui.journal.headline import left_behind
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
    voice: float | None  # mean over its finished topics
    undecided: int = 0


@dataclass(slots=True)
class Sum:
    """What a unit or chapter adds up to while its topics are counted."""

    title: str
    topics: int = 0
    finished: int = 0
    passed: int = 0
    undecided: int = 0
    scored: int = 0
    voice: float = 0.0

    def row(self, kind: Literal["unit", "chapter"], id: str) -> Row:
        mean = self.voice / self.scored if self.scored else None
        return Row(kind, id, self.title, self.topics, self.finished, self.passed, mean, self.undecided)


@dataclass(frozen=True, slots=True)
class Outline:
    """`places` is topic -> row, `numbers` topic -> its number from 1, `trend` the voices of finished topics in order.

    `units` are the sums of all units, whether they have a row or not.
    """

    rows: list[Row]
    units: list[Row]
    places: dict[str, int]
    numbers: dict[str, int]
    voices: dict[str, str]
    trend: list[float]
    finished: int
    waiting: int  # for their first attempt, or for a retry
    trained: int
    trained_seconds: float


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
    """One pass over all topics; made anew only when a topic changed.

    A unit or chapter that divides nothing has no row: the only one at its place, or one of those with a single topic.
    """
    units: dict[str, Sum] = {}
    chapters: dict[str, dict[str, Sum]] = {}
    listed: dict[str, list[Row]] = {}
    trend: list[float] = []
    trained, seconds, finished, waiting = 0, 0.0, 0, 0
    for id, topic in topics.items():
        unit, _, rest = id.partition("/")
        chapter = f"{unit}/{rest.partition('/')[0]}"
        if unit not in units:
            units[unit], chapters[unit] = Sum(one_line(topic.info.unit_title or unit)), {}
        if chapter not in listed:
            chapters[unit][chapter], listed[chapter] = Sum(one_line(topic.info.chapter_title or chapter)), []
        left, over = left_behind(topic), topic.status == "finished"
        voice = left.voice if left else None
        for part in (units[unit], chapters[unit][chapter]):
            part.topics += 1
            part.finished += over
            part.passed += topic.verdict == PASSED
            part.undecided += topic.verdict == UNDECIDED
            if voice is not None:
                part.scored += 1
                part.voice += voice
        if voice is not None:
            trend.append(voice)
        finished += over
        waiting += topic.standing == "pending" and not topic.unwanted
        if over and topic.verdict and VERDICTS[topic.verdict].scored:
            trained, seconds = trained + 1, seconds + topic.worked
        listed[chapter].append(Row("topic", id, topic.info.title, 1, over, topic.verdict == PASSED, voice))
    rows: list[Row] = []
    for unit, found in units.items():
        if _divides(units):
            rows.append(found.row("unit", unit))
        for chapter, part in chapters[unit].items():
            if _divides(chapters[unit]):
                rows.append(part.row("chapter", chapter))
            rows += listed[chapter]
    places = {row.id: place for place, row in enumerate(rows) if row.kind == "topic"}
    numbers = {id: place for place, id in enumerate(topics, 1)}
    shown = {id: text for id, topic in topics.items() if topic.status != "pending" and (text := voices(topic))}
    sums = [part.row("unit", unit) for unit, part in units.items()]
    return Outline(rows, sums, places, numbers, shown, trend, finished, waiting, trained, seconds)


def _divides(parts: dict[str, Sum]) -> bool:
    """Whether the rows of these units, or of a unit's chapters, say anything that those of the topics do not."""
    return len(parts) > 1 and any(part.topics > 1 for part in parts.values())
