"""The preflight's table in a narrow terminal."""

from typing import Any

from mindprint_tui.view.pages.preflight import TABLE, lines

BLANK = dict.fromkeys(("model", "data", "gates", "selftest", "rules", "prediction"))


def topic(number: int, title: str) -> dict[str, Any]:
    counts = {"sft_rows": 8, "pairs": 6, "heldout": 2, "questions": 3, "supervised": 10, "total": 30, "longest": 60}
    voice = {"references": 0.9, "rejected": 0.1}
    id = f"unit-01/chapter-01/topic-{number:02d}"
    return {"topic": id, "title": title or id, "cut": [], "length_ratio": 1.0, "base": None, "voice": voice} | counts


def names(cells: int, *titles: str) -> list[str]:
    topics = [topic(number, title) for number, title in enumerate(titles, 1)]
    shown = lines(BLANK | {"topics": topics, "warnings": [], "problems": []}, cells)
    assert all(len(row) <= cells for row in shown)
    place = next(number for number, row in enumerate(shown) if row.startswith("topic "))
    return [row[: cells - TABLE] for row in shown[place + 1 : place + 1 + len(topics)]]


def test_topics_without_titles_of_their_own_are_told_apart() -> None:
    assert names(80, "", "") == ["…chapter-01/topic-01", "…chapter-01/topic-02"]
    assert names(120, "")[0].rstrip() == "unit-01/chapter-01/topic-01"


def test_a_title_keeps_its_beginning() -> None:
    assert names(80, "Trimming the lamp at dusk and at dawn") == ["Trimming the lamp a…"]
