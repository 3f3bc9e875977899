"""The preflight's table in a narrow terminal."""

from typing import Any

from mindprint_tui.view.pages.preflight import TABLE, lines

BLANK = dict.fromkeys(("model", "data", "gates", "controls", "selftest", "rules", "prediction"))


def topic(number: int, title: str) -> dict[str, Any]:
    counts = {"sft_rows": 8, "pairs": 6, "heldout": 2, "questions": 3, "supervised": 10, "total": 30, "longest": 60}
    voice = {"references": 0.9, "rejected": 0.1}
    id = f"unit-01/chapter-01/topic-{number:02d}"
    return {"topic": id, "title": title or id, "cut": [], "length_ratio": 1.0, "base": None, "voice": voice} | counts


def table(cells: int, *titles: str) -> list[str]:
    """The lines of the topics, without their numbers."""
    topics = [topic(number, title) for number, title in enumerate(titles, 1)]
    shown = lines(BLANK | {"topics": topics, "warnings": [], "problems": []}, cells)
    assert all(len(row) <= cells for row in shown)
    place = next(number for number, row in enumerate(shown) if row.endswith(" acc"))
    return [row[: cells - TABLE].rstrip() for row in shown[place + 1 : shown.index("", place)]]


def test_each_topic_has_its_id_which_is_what_topic_takes() -> None:
    assert table(80, "Trimming the lamp at dusk and at dawn", "Clean glass") == [
        "Trimming the lamp a…",
        "  unit-01/chapter-01",
        "Clean glass",
        "  unit-01/chapter-01",
    ]
    assert table(120, "Trimming the lamp at dusk and at dawn", "Clean glass") == [
        "unit-01/chapter-01/topic-01  Trimming the lamp at dusk and …",
        "unit-01/chapter-01/topic-02  Clean glass",
    ]


def test_topics_without_titles_of_their_own_are_told_apart() -> None:
    assert table(120, "", "") == ["unit-01/chapter-01/topic-01", "unit-01/chapter-01/topic-02"]
    topics = [topic(1, ""), topic(2, "")]
    shown = lines(BLANK | {"topics": topics, "warnings": [], "problems": []}, 80)
    assert [row for row in shown if "topic-0" in row] == [f"  unit-01/chapter-01/topic-0{n}" for n in (1, 2)]


def test_rules_that_were_not_looked_at_take_no_lines() -> None:
    """There were nine lines of them among five that matter."""
    rest = {f"rule-{number}": "the self-test did not come to it" for number in range(12)}
    rules = {"held": {"a": 3, "b": 4}, "broken": ["c"], "not_looked_at": rest}
    shown = lines(BLANK | {"topics": None, "rules": rules, "warnings": [], "problems": []}, 80)
    assert "rule-1" not in "\n".join(shown)
    assert shown[0].startswith("rules     2 of 15 held, looked at 7 times; broken: c; 12 are checked later in a")
