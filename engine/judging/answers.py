"""The answers of a finished run that a judge rates, from its journal."""

from pathlib import Path
from typing import NamedTuple

from engine.contract.errors import InputError
from engine.contract.journal.events import EngineRestarted, RunFinished, Sample, TopicStarted
from engine.contract.journal.live import changes_model, live_records
from engine.contract.vocabulary import BASE, FINAL, FOUNDATION, START, Stage


class Rateable(NamedTuple):
    """An answer with its place in the run."""

    topic: str
    stage: Stage
    question: str
    answer: str


def read_answers(journal: Path) -> list[Rateable]:
    """Returns the base model's answers and those of the final exam, in the order of the journal.

    If the run has no exam, the answers after each phase take its place. Raises InputError if the run has not finished
    since it was last started, or has no answer.
    """
    found: dict[tuple[str, Stage, str], str] = {}
    attempts: dict[str, int] = {}
    finished = False
    for record in live_records(journal):
        event = record.event
        if changes_model(event):
            found = {key: answer for key, answer in found.items() if key[1] != FINAL}
        if isinstance(event, TopicStarted) and attempts.get(event.topic) != event.attempt:
            attempts[event.topic] = event.attempt  # a resumed engine repeats this event
            found = {key: answer for key, answer in found.items() if key[0] != event.topic or key[1] == BASE}
        elif isinstance(event, Sample) and event.topic != FOUNDATION and event.stage != START:
            found[event.topic, event.stage, event.question] = event.answer
        elif isinstance(event, RunFinished | EngineRestarted):
            finished = isinstance(event, RunFinished)
    if not finished:
        raise InputError(f"{journal.parent}: the run has not finished; a judge rates it after its end")
    exam = any(stage == FINAL for _, stage, _ in found)
    rated = [Rateable(*key, answer) for key, answer in found.items() if not exam or key[1] in (BASE, FINAL)]
    if not rated:
        raise InputError(f"{journal.parent}: the run has no answer that a judge could rate")
    return rated
