"""What an answer says in the voice, and against it, is marked where it stands: in the console and in the report."""

import pytest

from engine.contract.journal.events import Sample
from mindprint_tui.report.answers import side_by_side
from mindprint_tui.view.pages.samples import Question, sample_lines

NAME = "a keeper is not a machine"


def sample(answer: str, markers: tuple[str, ...], violations: tuple[str, ...], said: str = "") -> Sample:
    quotes = {NAME: said} if said else {}
    return Sample("t", "sft", "Q?", "R.", answer, 9, "eos", markers, violations, {"voice": 0.0}, "ok", quotes)


def on_the_screen(found: Sample, cells: int) -> tuple[list[str], list[str]]:
    """What is marked as a marker and as a violation, in the answer itself."""
    lines = sample_lines(Question("Q?", "R.", {"sft": found}), cells, {})
    spans = [span for line in lines for span in line]
    body = spans[: next(i for i, (text, _) in enumerate(spans) if text.startswith(("✓", "✗")))]
    return [text for text, role in body if role == "mark"], [text for text, role in body if role == "bad"]


def in_the_report(found: Sample) -> tuple[list[str], list[str]]:
    parts = side_by_side(Question("Q?", "R.", {"sft": found}), (), {})["columns"][1]["parts"]
    return [text for text, role in parts if role == "good"], [text for text, role in parts if role == "bad"]


@pytest.mark.parametrize(
    ("found", "marked", "bad"),
    [
        (
            sample("Aye, ’tis so; I’ve seen it, and that's all.", ("Aye", "'tis", "I've seen", "that's"), ()),
            ["Aye", "’tis", "I’ve seen", "that's"],
            [],
        ),
        (sample("Aye, I’m an AI.", ("Aye",), (NAME,), said="I'm an AI"), ["Aye"], ["I’m an AI"]),
        (sample("Ye see, yesterday it’s important.", ("Ye",), ("it's important",)), ["Ye"], ["it’s important"]),
        (sample("这是灯塔的灯。", ("灯塔",), ("的灯",)), ["灯塔"], ["的灯"]),  # no spaces between words
        (sample("Das scho\u0308ne Licht.", ("sch\u00f6ne",), ()), ["sch\u00f6ne"], []),
        (sample("It is so.", (), (NAME,)), [], []),  # of an engine that did not quote
    ],
)
def test_marks_are_where_the_score_found_them(found: Sample, marked: list[str], bad: list[str]) -> None:
    assert on_the_screen(found, 100) == in_the_report(found) == (marked, bad)


def test_what_is_broken_over_two_lines_is_marked_on_both() -> None:
    found = sample("Now hear me, lad: I am an AI, aye.", ("lad", "aye"), (NAME,), said="I am an AI")
    marked, bad = on_the_screen(found, 23)
    assert marked == ["lad", "aye"] and len(bad) == 2 and " ".join(bad) == "I am an AI"


def test_what_was_said_wrong_is_told_by_name_and_quoted() -> None:
    found = sample("I am an AI, and it is important.", (), (NAME, "it is important"), said="I am an AI")
    lines = sample_lines(Question("Q?", "R.", {"sft": found}), 160, {})
    told = "\n".join("".join(text for text, _ in line) for line in lines)
    assert f"✗ {NAME}: “I am an AI”, it is important" in told
    notes = side_by_side(Question("Q?", "R.", {"sft": found}), (), {})["columns"][1]["notes"]
    assert notes[-2:] == [(f"{NAME}: “I am an AI”", "bad"), ("it is important", "bad")]
