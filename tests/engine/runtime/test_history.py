"""The time that a run has worked, from the times of its events."""

from collections.abc import Sequence

import pytest

from engine.contract.journal import events as e
from engine.contract.journal.events import Event, Record
from engine.runtime.history import History, read_history

YEAR = 365 * 86400.0
TOPIC = "unit-01/chapter-01/topic-01"


def seconds(*told: tuple[float, Event]) -> float:
    return read_history([Record(seq, t, event) for seq, (t, event) in enumerate(told)]).seconds


def _told(*events: Event) -> History:
    return read_history([Record(seq, float(seq), event) for seq, event in enumerate(events)])


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


def test_a_final_score_is_void_once_another_topic_begins():
    """Every reader drops it then, even if the model is the same after all; so the exam must ask again."""
    final = e.Evaluated("u/c/t", "final", 0.5, 0.5, 0.5, {}, None, "ok", 1.0)
    assert _told(final).final == {"u/c/t": final}
    assert _told(final, e.TopicStarted("u/c/other", 2, 2)).final == {}


def test_an_adapter_that_a_person_asked_to_keep_is_not_the_next_to_go():
    def rolled_back(number: int) -> e.AdapterChanged:
        name = f"{number:03d}-u.c.t{number}-sft"
        return e.AdapterChanged(
            f"u/c/t{number}", "sft", "rolled_back", 4, 2.0, 1, 0, 0, 1, "base", "base", 0, set_aside=name
        )

    keep = e.CommandTaken("k", "keep", "done", "", "u/c/t1", "sft")
    events = [*map(rolled_back, range(1, 6)), keep, rolled_back(6)]
    found = _told(*events).set_aside
    assert found.find("u/c/t1") is not None and found.find("u/c/t2") is None
