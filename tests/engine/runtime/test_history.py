"""The time that a run has worked, from the times of its events."""

from collections.abc import Sequence

import pytest

from engine.contract.journal import events as e
from engine.contract.journal.events import Event, Record
from engine.runtime.history import read_history

YEAR = 365 * 86400.0
TOPIC = "unit-01/chapter-01/topic-01"


def seconds(*told: tuple[float, Event]) -> float:
    return read_history([Record(seq, t, event) for seq, (t, event) in enumerate(told)]).seconds


def started(*later: tuple[float, Event]) -> Sequence[tuple[float, Event]]:
    return (0.0, e.RunStarted("run", "tiny", 1, 1, {})), (10.0, e.TopicStarted(TOPIC, 1, 1)), *later


@pytest.mark.parametrize("jump", [10 * YEAR, -10 * YEAR])
def test_a_clock_that_is_set_is_no_work(jump: float) -> None:
    told = started((jump + 20.0, e.Warned("a", "b", 1)), (jump + 25.0, e.Warned("a", "b", 2)))
    assert 15 <= seconds(*told) <= 15 + 3600


def test_a_long_pause_counts_as_it_did() -> None:
    told = started(
        (20.0, e.Paused("ann")), (20.0 + 5 * 3600, e.Resumed("ann")), (30.0 + 5 * 3600, e.Warned("a", "b", 1))
    )
    assert seconds(*told) == 30.0 + 5 * 3600


def test_a_phase_that_could_not_be_kept_leaves_the_other_one_of_its_topic_asked_for() -> None:
    asked = [e.CommandTaken(phase, "keep", "done", "", TOPIC, phase) for phase in ("sft", "dpo")]
    failed = e.Failed(f"{TOPIC} sft", "its folder is damaged", "", topic=TOPIC, phase="sft")
    events = [e.RunStarted("run", "tiny", 1, 1, {}), *asked, failed]
    found = read_history(Record(seq, float(seq), event) for seq, event in enumerate(events))
    assert found.keeps == [(TOPIC, "dpo")]
