"""The learned scores on the screen: intervals, what made a score, what is in the model; older runs without them."""

import pytest
from learned import ECHOES, learned
from make import STORIES, happy
from story import topic_id

from engine.contract.journal import events as e
from engine.contract.journal.events import Sample
from engine.contract.journal.log_lines import line as log_line
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.report.answers import side_by_side
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.in_model import in_model, sentence, unsure
from mindprint_tui.view.pages.samples import Question, pieces, sample_lines
from mindprint_tui.view.panes.log import fitted
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.voice import voice_lines
from mindprint_tui.view.text import Line, brief, count_of, estimate, mean_of

STATE = fold(RunState(), learned())


def words(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def pane(state: RunState, topic: int, cells: int) -> list[str]:
    return words(voice_lines(state, Focus(topic=topic_id(topic)), outline(state.topics), cells))


def row(lines: list[str], name: str) -> str:
    return " ".join(next(line for line in lines if line.split()[:1] == [name]).split())


@pytest.mark.parametrize(
    ("value", "interval", "n", "shown"),
    [
        (0.7, (0.49, 0.91), 3, "0.70 ± 0.21 (3)"),
        (0.95, (0.75, 1.0), 3, "0.95 ± 0.20 (3)"),  # cut off at 1: the longer side
        (0.7, None, 3, "0.70"),
        (None, (0.1, 0.2), 3, "–"),
        (0.7, (float("nan"), float("nan")), 3, "0.70"),
        (float("nan"), (0.1, 0.2), 3, "nan"),
    ],
)
def test_a_mean_is_shown_with_its_interval_and_its_number(
    value: float | None, interval: tuple[float, float] | None, n: int, shown: str
) -> None:
    assert estimate(value, interval, n) == shown


def test_numbers_in_few_cells() -> None:
    assert brief(0.31, (0.09, 0.53), signed=True) == "+0.31±0.22" and count_of(1, 2) == "1 of 2"
    assert mean_of([]) == (None, None) and mean_of([0.5])[1] is None
    mean, interval = mean_of([0.6, 0.8])
    assert (brief(mean, interval), mean_of([0.6, 0.8], sure=False)[1]) == ("0.70±0.63", None)


@pytest.mark.parametrize("cells", [58, 78])
def test_the_pane_has_every_part_with_its_interval_and_marks_thresholds(cells: int) -> None:
    lines = pane(STATE, 0, cells)
    assert row(lines, "voice") == "voice 0.07±0.17 0.70±0.17? 0.86±0.17✓ needs 0.60"
    assert row(lines, "closeness") == "closeness 0.31±0.12 0.55±0.12 0.57±0.12 ▲ +0.26"
    assert row(lines, "relevance") == "relevance +0.17±0.22 +0.46±0.22 +0.48±0.22 ▲ +0.31"
    assert (
        row(lines, "loops") == "loops 0 of 3 0 of 3 0 of 3"
        and row(lines, "preferred") == "preferred 1 of 2 1 of 2 2 of 2"
    )
    names = [line.split()[0] for line in lines[2:]]
    order = ["voice", "style", "closeness", "loops", "void", "relevance", "assent", "tongue", "accuracy", "preferred"]
    assert names[: len(order)] == order and "combined" not in names
    assert " ".join(lines[-2:]).endswith("makes sense is for you or a judge to say.")
    assert row(pane(STATE, 2, cells), "void").endswith("1 of 3")


def test_a_narrow_pane_keeps_voice_and_closeness_with_intervals() -> None:
    lines = pane(STATE, 1, 46)
    at = [line.split()[0] for line in lines]
    for name in ("voice", "closeness"):
        assert lines[at.index(name) + 1].split() == ["±", *["±0.17" if name == "voice" else "±0.12"] * 4]
    assert max(map(len, lines)) <= 46


def test_a_run_of_an_older_engine_has_no_row_that_it_did_not_have() -> None:
    lines = pane(fold(RunState(), happy()), 0, 58)
    names = [line.split()[0] for line in lines[2:]]
    assert names == ["accuracy", "voice", "assent", "address", "tongue", "combined", "preference", "health", "passed:"]
    assert "±" not in "".join(lines)


def test_texts_that_do_not_tell_the_voice_are_the_first_thing_that_is_said() -> None:
    state = fold(RunState(), learned(separable=False))
    lines = voice_lines(state, Focus(topic=topic_id(0)), outline(state.topics), 58)
    loud = [text for line in lines for text, role in line if role == "bad"]
    assert loud[0].startswith("✗ these texts do not tell the voice: add rejected")
    assert STATE.scorer is not None
    told = "voice learned from 56 texts in it and 30 others; telling: aye, 'tis, lass, ye, och"
    assert fitted(STATE.scorer) == told


def test_which_topics_are_in_the_model_and_why_not() -> None:
    inside, outside = in_model(STATE.topics.values())
    assert [topic.info.id for topic in inside] == [topic_id(0), topic_id(1), topic_id(3)]
    assert [(each.why, each.topic.verdict) for each in outside] == [("SFT rolled back", "not_trained")]
    assert sentence(STATE.topics.values()) == (
        "in the model: 3 of 4 topics; not in it: The clockwork (SFT rolled back)"
    )
    assert unsure(STATE.tally) == ", 1 undecided, 1 not trained"
    others = [topic for topic in fold(RunState(), STORIES["rolled-back"]()).topics.values() if topic.kept is None]
    assert [each.why for each in in_model(others)[1]] == ["skipped", "not run"]


def sample(**changes: object) -> Sample:
    clauses = (("Aye, 'tis so", 0.97), ("it is important to note", 0.03), ("the lamp", 0.5))
    given: dict[str, object] = {"clauses": clauses, "telling": ("aye", "'tis"), **changes}
    scores = {"voice": 0.4, "style": 0.5, "closeness": 0.3, "relevance": 0.2, "accuracy": 0.6, "assent": 1.0}
    text = "Aye, ’tis so; it is important\nto note, the lamp."
    return Sample("t", "sft", "Q?", "R.", text, 9, "eos", (), (), scores, **given)  # type: ignore[arg-type]


def test_clauses_are_marked_by_how_likely_they_are_the_persons() -> None:
    found = pieces(sample().answer, sample())
    assert found == [
        ("Aye", "telling"), (", ", "own"), ("’tis", "telling"), (" so", "own"), ("; ", ""),
        ("it is important\nto note", "other"), (", the lamp.", ""),
    ]  # fmt: skip
    marked = Sample("t", "sft", "Q?", "R.", "Aye, so.", 9, "eos", ("so",), (), {}, telling=("aye",))
    assert pieces("Aye, so.", marked) == [("Aye, ", ""), ("so", "marker"), (".", "")]  # voice.yaml says what to mark


@pytest.mark.parametrize("cells", [24, 60, 118])
def test_an_answer_says_what_made_its_score(cells: int) -> None:
    found = sample(void=ECHOES, reason=ECHOES)
    text = " ".join(" ".join(words(sample_lines(Question("Q?", "R.", {"sft": found}), cells, {}))).split())
    if cells > 24:
        assert "✗ void: an echo: 62% of its longer words" in text.replace("│ ", "")
    assert "by clause █▁▅" in text and "tells: aye, 'tis" in text
    assert "closeness 0.30" in text and "relevance" not in text and "accuracy" not in text and text.count("echo:") == 1


def test_the_report_marks_answers_as_the_screen_does() -> None:
    column = side_by_side(Question("Q?", "R.", {"sft": sample(reason="it repeats itself")}), (), {})["columns"][1]
    roles = [role for _, role in column["parts"]]
    assert roles == ["good", "own", "good", "own", "", "other", ""]
    notes = column["notes"]
    assert ("it repeats itself", "warn") in notes and ("closeness 0.30", "") in notes
    assert any(text.startswith("by clause █▁▅ 0.97 0.03 0.50") for text, _ in notes)


def test_a_line_of_the_log_has_a_plain_number_behind_each_name() -> None:
    said = [line for record in learned() if (line := log_line(record)) is not None]
    after = next(line for line in said if "stage=dpo" in line)
    pairs = dict(word.split("=", 1) for word in after.split() if "=" in word)
    assert (float(pairs["voice"]), pairs["voice_interval"], pairs["n"]) == (0.86, "0.69..1.03", "3")
    assert float(pairs["closeness"]) == 0.57 and pairs["void"] == "0"
    assert any("scorer own=56 others=30 separable=true" in line for line in said)
    assert any(" WARNING topic undecided " in line or " WARNING topic not_trained " in line for line in said)
    old = next(line for record in happy() if isinstance(record.event, e.Evaluated) and (line := log_line(record)))
    assert "style=" not in old and "_interval" not in old
