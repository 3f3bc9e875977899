"""The rows of the topics pane: units and chapters where they divide something."""

import pytest

from engine.contract.journal.events import TopicInfo
from mindprint_tui.journal.topic_state import TopicState
from mindprint_tui.view.panes.outline import outline


def rows(*ids: str) -> list[str]:
    topics = {id: TopicState(TopicInfo(id, f"T {id}", 1, 1, 1)) for id in ids}
    found = outline(topics)
    assert [found.rows[place].id for place in found.places.values()] == list(ids) == list(found.places)
    assert sum(unit.topics for unit in found.units) == len(ids)
    return [row.id for row in found.rows]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("u/c/t", "u/c/t"),
        ("u/c/s u/c/t", "u/c/s u/c/t"),
        ("u/c/s u/c/t u/d/t", "u/c u/c/s u/c/t u/d u/d/t"),
        ("u/c/t u/d/t", "u/c/t u/d/t"),
        ("u/c/s u/c/t v/c/t", "u u/c/s u/c/t v v/c/t"),
        ("u/c/s u/c/t v/c/t v/d/s v/d/t", "u u/c/s u/c/t v v/c v/c/t v/d v/d/s v/d/t"),
        ("u/c/t v/c/t", "u/c/t v/c/t"),
    ],
    ids=str,
)
def test_a_level_that_divides_nothing_has_no_row(ids: str, expected: str) -> None:
    assert rows(*ids.split()) == expected.split()
