"""Outline of the course: topics with their units and chapters, sums and order."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.contract.vocabulary import ATTEMPT_STAGES, BASE, FINAL, PASSED, STAGES, START, UNDECIDED, VERDICTS
from mindprint_tui.journal.headline import end_scores
from mindprint_tui.journal.sanitize import one_line
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.text import number


class Row(NamedTuple):
    """A unit, a chapter or a topic. Counts and mean are over the topics below it."""

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
    """Running sums of a unit or chapter while its topics are counted."""

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
    """The rows of the topics pane, and totals over all topics.

    `places` is topic -> row, and `numbers` is topic -> its number from 1. `trend` has the voices of finished topics in
    order. `units` has the sums of all units, with or without a row.
    """

    rows: list[Row]
    units: list[Row]
    places: dict[str, int]
    numbers: dict[str, int]
    voices: dict[str, str]
    trend: list[float]
    finished: int
    waiting: int  # topics that wait for their first attempt or for a retry
    trained: int
    trained_seconds: float
    base_seconds: float  # for which the base model was scored


def voices(topic: TopicState) -> str:
    """Returns the voices before → SFT → DPO, and after the final exam ` · now ` and the voice then.

    A ⟲ stands before a phase that was not kept. If earlier topics have already changed the voice, the `start` score
    stands between them with its name. SFT builds on it, not on `before`.
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
    now = topic.scores.get(FINAL)
    return f"{text} · now {number(now.voice)}" if now else text


def outline(topics: dict[str, TopicState]) -> Outline:
    """Builds the outline in one pass over all topics. The caller repeats it only when a topic changed.

    A unit or chapter has no row if it divides nothing: it is the only one, or each has a single topic. The foundation
    has the first row, and is in no sum.
    """
    units: dict[str, Sum] = {}
    chapters: dict[str, dict[str, Sum]] = {}
    listed: dict[str, list[Row]] = {}
    trend: list[float] = []
    trained, seconds, finished, waiting, scoring = 0, 0.0, 0, 0, 0.0
    rows: list[Row] = []
    for id, topic in topics.items():
        if not topic.counted:
            rows.append(Row("topic", id, topic.info.title, 1, 0, False, None))
            continue
        unit, _, rest = id.partition("/")
        chapter = f"{unit}/{rest.partition('/')[0]}"
        if unit not in units:
            units[unit], chapters[unit] = Sum(one_line(topic.info.unit_title or unit)), {}
        if chapter not in listed:
            chapters[unit][chapter], listed[chapter] = Sum(one_line(topic.info.chapter_title or chapter)), []
        left, over = end_scores(topic), topic.status == "finished"
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
        scoring += base.seconds if (base := topic.scores.get(BASE)) else 0.0
        finished += over
        waiting += topic.standing == "pending" and not topic.unwanted
        if over and topic.verdict and VERDICTS[topic.verdict].scored:
            trained, seconds = trained + 1, seconds + topic.worked
        listed[chapter].append(Row("topic", id, topic.info.title, 1, over, topic.verdict == PASSED, voice))
    for unit, found in units.items():
        if _divides(units):
            rows.append(found.row("unit", unit))
        for chapter, part in chapters[unit].items():
            if _divides(chapters[unit]):
                rows.append(part.row("chapter", chapter))
            rows += listed[chapter]
    places = {row.id: place for place, row in enumerate(rows) if row.kind == "topic"}
    counted = [id for id, topic in topics.items() if topic.counted]
    numbers = {id: place for place, id in enumerate(counted, 1)}
    shown = {id: text for id, topic in topics.items() if topic.status != "pending" and (text := voices(topic))}
    sums = [part.row("unit", unit) for unit, part in units.items()]
    return Outline(rows, sums, places, numbers, shown, trend, finished, waiting, trained, seconds, scoring)


def _divides(parts: dict[str, Sum]) -> bool:
    """Returns True if rows of these units, or of a unit's chapters, add information to the rows of topics."""
    return len(parts) > 1 and any(part.topics > 1 for part in parts.values())
