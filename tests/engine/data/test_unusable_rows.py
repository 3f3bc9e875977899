"""Rows that cannot be used: all of them are named at once, or left out and counted."""

import json
from pathlib import Path

import pytest
from curricula import ONE, TWO, Course, sft, turn, words

from engine.contract.errors import InputError
from engine.contract.settings.config import CurriculumConfig
from engine.data.curriculum import load_curriculum
from engine.data.unusable import UnusableRows, sentences


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def spoiled(course: Course, count: int) -> Course:
    """Adds rows of three kinds of fault."""
    for n in range(count):
        answer = ("", None, 5)[n % 3]
        course.sft.append({"topic": ONE, "messages": [turn("user", words(n)), turn("assistant", answer)]})
    return course


def test_all_of_300_rows_are_counted_and_the_first_twenty_named(course: Course) -> None:
    with pytest.raises(UnusableRows) as caught:
        spoiled(course, 300).load()
    assert len(caught.value.rows) == 300
    told = sentences(caught.value.rows)
    assert (
        len(told) == 21
        and told[0] == f"{course.folder}/sft.jsonl:7: messages[1]: content: found empty text, expected text"
    )
    assert told[19].startswith(f"{course.folder}/sft.jsonl:26: ")
    assert told[20].startswith("and 280 more; 300 rows cannot be used: 100 rows: messages…: content: found empty text")
    assert str(caught.value) == "\n  ".join(told)


def test_rows_of_all_files_are_named_together(course: Course) -> None:
    spoiled(course, 1)
    course.pairs.append({"topic": ONE, "prompt": "P?"})
    course.quiz += [b"{", {"topic": TWO, "question": "Q?"}]
    with pytest.raises(UnusableRows) as caught:
        course.load()
    assert [Path(row.where).name for row in caught.value.rows] == [
        "sft.jsonl:7", "preferences.jsonl:9", "quiz.jsonl:5", "quiz.jsonl:6"
    ]  # fmt: skip


def test_with_report_the_other_rows_are_trained_on(course: Course) -> None:
    course.sft.append(sft("", 5) | {"topic": None})
    found = spoiled(course, 300).load(bad_rows="report")
    assert (len(found.unusable), found.rows_reported, found.rows_read) == (301, 301, 319)
    assert [len(topic.sft) for topic in found.topics] == [3, 3]
    named = [text for text in found.warnings if "not used: messages[1]: content" in text]
    assert len(named) == 300 and f"{course.folder}/sft.jsonl:7: not used: topic: found None" in " ".join(found.warnings)


def test_what_is_missing_is_named_at_once_with_the_smallest_set_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_curriculum(CurriculumConfig(str(tmp_path)), needs_pairs=True)
    lines = str(caught.value).split("\n  ")
    assert [line.partition(": no such file")[0] for line in lines[:3]] == [
        f"{tmp_path}/{name}.jsonl" for name in ("sft", "preferences", "quiz")
    ]
    assert lines[3] == "the smallest set that would do is sft.jsonl with curriculum.quiz_share: 0.1 and dpo.when: never"
    rows = [{"prompt": words("q", n), "completion": words("a", n)} for n in range(10)]
    (tmp_path / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert load_curriculum(CurriculumConfig(str(tmp_path), quiz_share=0.1), needs_pairs=False).rows_used == 10


def test_every_topic_that_lacks_something_is_named(course: Course) -> None:
    course.sft, course.pairs, course.quiz = course.sft[:3], course.pairs[4:], course.quiz[:2]
    assert course.refusal().split("\n  ") == [
        f"{course.folder}/preferences.jsonl: topic {ONE} has no pair to train on; add some, or set dpo.when: never",
        f"{course.folder}/sft.jsonl: topic {TWO} has no rows to train on",
        f"{course.folder}/quiz.jsonl: topic {TWO} has no held-out question",
    ]


def test_a_voice_that_fits_none_of_the_texts_is_called_that(course: Course) -> None:
    course.voice = "groups:\n  - {name: pirate, patterns: [arr]}\n"
    (said,) = course.load().warnings
    assert "none of its groups (pirate) is found in any of the person's texts" in said


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("voice", "groups: []\navoid: []\ngroups: []\n", "groups is written twice (first on line 1)"),
        ("voice", "groups:\n- {name: a, name: b, patterns: [c]}\n", "groups[0].name is written twice"),
        (
            "course",
            "units:\n- id: unit-01\n  title: A\n  chapters: []\n  chapters: []\n",
            "units[0].chapters is written twice",
        ),
    ],
)
def test_a_key_that_is_written_twice_is_refused_with_both_lines(course: Course, name: str, text: str, key: str) -> None:
    setattr(course, name, text)
    file = {"voice": "voice.yaml", "course": "curriculum.yaml"}[name]
    assert course.refusal().startswith(f"{course.folder}/{file}:") and key in course.refusal()
