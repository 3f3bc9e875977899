"""Pairs of answers to the same question, from the journals of one run or two, in a random order for a blind vote."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import BASE, FINAL, FOUNDATION, STAGES, Stage
from mindprint_tui.journal.feed import Feed, answer_or_start
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.votes.vote_file import Side

END: Literal["end"] = "end"  # in place of a stage: the last one of each topic that is in the model
Place = Stage | Literal["end"]
PLACES: tuple[Place, ...] = (*STAGES, END)
Answers = dict[tuple[str, str], Side]  # topic and question -> the answer of one stage


class Ballot(NamedTuple):
    """A question with two answers in the order in which they are shown."""

    pair: str
    topic: str
    question: str
    first: Side
    second: Side


@dataclass(frozen=True, slots=True)
class Ballots:
    """The pairs to vote on, in their order; `same` counts the questions with two equal answers, which are not asked."""

    pairs: tuple[Ballot, ...]
    titles: dict[str, str]
    same: int
    damaged: int  # lines of the journals that cannot be read


def read_ballots(runs: Sequence[RunDir], places: tuple[Place, Place] | None, seed: int) -> Ballots:
    """Pairs the answers of two stages of a run, or of two runs; raises InputError if there is no pair.

    Without `places`, one run's base model is compared with the end of each topic, and two runs by their final exams, or
    by the ends of their topics if not both have one. The order of pairs and sides follows from `seed`, and stays the
    same if pairs are added.
    """
    feeds = [Feed(run) for run in runs]
    states = [_state(feed) for feed in feeds]
    where = places or _usual(states)
    sides = [(runs[0], states[0]), (runs[-1], states[-1])]
    one, two = (_answers(run, state, place) for (run, state), place in zip(sides, where, strict=True))
    shared = [key for key in one if key in two]
    if not shared:
        names = " and ".join(f"{run.name} ({place})" for (run, _), place in zip(sides, where, strict=True))
        raise InputError(f"{names}: no question has an answer on both sides, so there is nothing to vote on")
    found = [_ballot(key, one[key], two[key], seed) for key in shared if one[key].answer != two[key].answer]
    pairs = {ballot.pair: ballot for _, ballot in sorted(found, key=lambda item: item[0])}
    titles = {id: topic.info.title for state in states for id, topic in state.topics.items()}
    return Ballots(tuple(pairs.values()), titles, len(shared) - len(found), sum(feed.damaged for feed in feeds))


def _state(feed: Feed) -> RunState:
    state = RunState()
    for records in feed.rest(feed.skim):
        state = fold(state, records)
    return state


def _usual(states: Sequence[RunState]) -> tuple[Place, Place]:
    if len(states) == 1:
        return BASE, END
    return (FINAL, FINAL) if all(state.examined for state in states) else (END, END)


def _answers(run: RunDir, state: RunState, place: Place) -> Answers:
    """Returns the latest answers of a stage. The foundation has none: its questions are those of the topics."""
    found: Answers = {}
    attempts: dict[str, int] = {}
    tail = Tail(run.journal)
    while lines := tail.lines():
        for line in lines:
            event = answer_or_start(line)
            if event is None or event.topic == FOUNDATION:
                continue
            wanted = _stage(state, event.topic, place)
            if isinstance(event, e.TopicStarted):
                if attempts.get(event.topic, event.attempt) != event.attempt and wanted != BASE:
                    found = {key: side for key, side in found.items() if key[0] != event.topic}
                attempts[event.topic] = event.attempt
            elif event.stage == wanted:
                found[event.topic, _whole(event.question)] = _side(run, event)
    return found


def _stage(state: RunState, topic: str, place: Place) -> Stage | None:
    """Returns the stage that `place` is for a topic; None if the topic has nothing in the model at its end."""
    known = state.topics.get(clean(topic))
    if place == FINAL:  # void if the model has changed since
        return place if known is not None and FINAL in known.scores else None
    if place != END:
        return place
    return known.kept if known is not None and known.status == "finished" else None


def _side(run: RunDir, sample: e.Sample) -> Side:
    voice = sample.scores.get("voice")
    sound = voice is not None and math.isfinite(voice) and 0 <= voice <= 1
    void = sample.void and _whole(sample.void)
    return Side(run.name, sample.stage, _whole(sample.answer).strip(), voice if sound else None, void)


def _whole(text: str) -> str:
    """Returns text without half surrogate pairs, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def _ballot(key: tuple[str, str], one: Side, two: Side, seed: int) -> tuple[bytes, Ballot]:
    """Returns the ballot, after the bytes by which the ballots are put in order."""
    low, high = sorted((one, two), key=lambda side: side.answer)
    pair = hashlib.sha256(repr((*key, low.answer, high.answer)).encode()).hexdigest()[:16]
    order = hashlib.sha256(f"{seed} {pair}".encode()).digest()
    first, second = (low, high) if order[-1] & 1 else (high, low)
    return order, Ballot(pair, *key, first, second)
