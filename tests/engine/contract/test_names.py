"""How a topic may be named: by its id, or by the id's last part or its title if that is unique."""

import pytest

from engine.contract.errors import InputError
from engine.contract.names import LISTED, find_topic

TITLES = {
    "unit-01/chapter-01/topic-01": "Trimming the lamp",
    "unit-01/chapter-02/topic-01": "Clean glass",
    "unit-01/chapter-02/oil": "Clean glass",
    "unit-02/chapter-01/weather": "",
}


@pytest.mark.parametrize("word", ["unit-01/chapter-01/topic-01", "Trimming the lamp", " trimming THE lamp "])
def test_an_id_and_a_unique_title_name_a_topic(word: str) -> None:
    assert find_topic(word, TITLES) == "unit-01/chapter-01/topic-01"


def test_a_unique_last_part_names_a_topic() -> None:
    assert find_topic("oil", TITLES) == "unit-01/chapter-02/oil"
    assert find_topic("weather", TITLES) == "unit-02/chapter-01/weather"


@pytest.mark.parametrize(
    ("word", "ids"), [("topic-01", ["unit-01/chapter-01/topic-01", "unit-01/chapter-02/topic-01"]), ("", [])]
)
def test_a_word_for_several_topics_or_none_lists_ids(word: str, ids: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        find_topic(word, TITLES | {"unit-02/chapter-01/again": "x"})
    said = str(caught.value).splitlines()
    assert [line.split()[0] for line in said[1:]] == (ids or [*TITLES, "unit-02/chapter-01/again"])


def test_a_wrong_id_names_the_nearest_and_long_lists_are_cut() -> None:
    many = {f"unit-01/chapter-01/topic-{number:03d}": "" for number in range(LISTED + 5)}
    with pytest.raises(InputError, match=r"did you mean 'unit-01/chapter-01/topic-001'\?") as caught:
        find_topic("unit-01/chapter-01/topik-001", many)
    assert len(str(caught.value).splitlines()) == LISTED + 2 and str(caught.value).endswith("and 5 more")
