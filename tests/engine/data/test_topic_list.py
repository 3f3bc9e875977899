"""What topics, chapters and units are called where there is no curriculum.yaml: never by a path."""

import pytest

from engine.data.topic_list import name_course


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("/home/me/curricula/keeper/sft.jsonl", "keeper"),
        ("/home/me/curricula/keeper/sft_data.jsonl", "keeper"),
        ("/data/letters.parquet", "letters"),
        ("/data/letters", "letters"),
        ("someone/letters", "letters"),
        ("sft.jsonl", "sft"),
    ],
)
def test_rows_without_topics_are_one_topic_called_by_a_name(source: str, title: str) -> None:
    (place,) = name_course([], source).values()
    assert (place.title, place.chapter_title, place.unit_title) == (title, title, title)


def test_a_name_is_a_title_and_an_id_gives_its_parts() -> None:
    found = name_course(["Oil  and lamps", "u/c/the-wick"], "/data/keeper/sft.jsonl")
    assert [(place.unit_title, place.chapter_title, place.title) for place in found.values()] == [
        ("keeper", "keeper", "Oil and lamps"),
        ("u", "c", "the-wick"),
    ]
