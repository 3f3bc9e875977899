"""Topics: one by default, folders, or clusters; a second call keeps them and adds what is new to them."""

import numpy as np
import pytest

from engine.contract.errors import InputError
from engine.contract.names import topic_id
from engine.contract.workbook.curriculum_files import ONE
from engine.contract.workbook.drafts import Draft, Turn, draft_id
from engine.contract.workbook.files import Topics
from engine.contract.workbook.workbook import Workbook
from engine.intake.topics import find_topics, require_topics

SUBJECTS = {"clock": "The clock and its pendulum tick", "bread": "Bread dough rises in the oven"}


def book(count: int, source: str = "a.txt") -> Workbook:
    found = Workbook()
    for number in range(count):
        words = list(SUBJECTS.values())[number % 2]
        turns = (Turn("user", "Well?"), Turn("assistant", f"{words}, and this is number {number} of {source}."))
        folder = list(SUBJECTS)[number % 2]
        draft = Draft(draft_id(turns), f"{folder}/{source}", f"line {number}", turns)
        found.drafts[draft.id] = draft
    return found


def embed(texts: list[str]) -> np.ndarray:
    spread = np.random.default_rng(0).normal(0, 0.05, (len(texts), 2))
    return np.array([[1.0, 0.0] if "clock" in text else [0.0, 1.0] for text in texts]) + spread


def refuse(texts: list[str]) -> np.ndarray:
    raise AssertionError(f"{len(texts)} texts were embedded")


def test_few_rows_are_one_topic() -> None:
    assert find_topics(book(60), "auto", Topics(), False, refuse) == Topics([ONE], {})


@pytest.mark.parametrize("wanted", ["auto", "2"])
def test_clusters_have_titles_from_their_words(wanted: str) -> None:
    found = find_topics(book(160), wanted, Topics(), False, embed)
    titles = sorted(topic.title for topic in found.topics)
    assert len(titles) == 2 and "bread" in titles[0].casefold() + titles[1].casefold()
    assert all(topic_id(topic.id) for topic in found.topics)
    assert len(found.of) == 160 and len({found.of[id] for id in list(found.of)[::2]}) == 1


def test_folders_are_topics() -> None:
    found = find_topics(book(60), "folders", Topics(), False, refuse)
    assert [(topic.id, topic.title) for topic in found.topics] == [
        ("texts/all/clock", "clock"),
        ("texts/all/bread", "bread"),
    ]


def test_a_second_call_keeps_topics_and_adds_new_drafts_to_them() -> None:
    before = find_topics(book(160), "auto", Topics(), False, embed)
    more = book(160)
    more.drafts |= book(20, "b.txt").drafts
    after = find_topics(more, "auto", before, False, refuse)
    assert after.topics == before.topics and after.of | before.of == after.of
    new = [id for id in after.of if id not in before.of]
    assert len(new) == 20
    assert [after.of[id] for id in new[:2]] == list(before.of.values())[:2]


def test_what_topics_may_be() -> None:
    for wanted in ("none", "0", "1000", "-1"):
        with pytest.raises(InputError, match="--topics"):
            require_topics(wanted)
