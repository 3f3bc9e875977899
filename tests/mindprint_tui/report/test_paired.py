"""Two runs that answered the same questions are compared answer by answer."""

import re
from pathlib import Path

import pytest
from golden import put
from learned import learned

from mindprint_tui.report import page
from mindprint_tui.report.comparison import compare, dump, read_run
from mindprint_tui.report.gather import gather
from mindprint_tui.report.paired import differences
from mindprint_tui.view.pages.comparison import table
from mindprint_tui.view.text import cell_len
from tests.journals.make import topic_id, write


def test_a_difference_is_that_of_the_same_questions() -> None:
    first = {"a": {"1": 0.1, "2": 0.5, "3": 0.9}, "b": {"1": 0.5}, "c": {"9": 0.5}}
    other = {"a": {"3": 1.0, "2": 0.6, "1": 0.3}, "b": {"2": 0.5}, "c": {"9": 0.9}}
    found = differences(["a", "b", "c"], [first, other])
    assert found["topics"]["b"] == [None, None]
    none, a = found["topics"]["a"]
    assert none is None and a["difference"] == pytest.approx(0.4 / 3) and a["questions"] == 3
    assert a["interval"][0] < 0.4 / 3 < a["interval"][1]
    assert found["all"][1]["questions"] == 4 and found["all"][1]["difference"] == pytest.approx(0.2)
    assert differences(["c"], [first, other])["topics"]["c"][1]["interval"] is None  # one question has no spread


def test_two_seeds_are_compared_in_the_table(tmp_path: Path) -> None:
    runs = [read_run(put(tmp_path / name, learned(lift=lift))) for name, lift in (("one", 0.0), ("two", -0.1))]
    found = compare(runs)
    every = found["paired"]["all"][1]
    assert every["questions"] == 12 and every["difference"] == pytest.approx(-0.08, abs=0.02)
    assert found["paired"]["topics"][topic_id(2)][1]["difference"] == 0.0  # nothing of it was kept: as it began
    assert found["runs"][0]["not_in_model"] == {topic_id(2): "SFT rolled back"}
    assert found["runs"][0]["verdicts"]["undecided"] == 1
    for cells in (80, 120, 200):
        lines = table(found, cells)
        assert max(map(cell_len, lines)) <= cells
        text = "\n".join(lines)
        assert re.search(r"Δ voice +– +-0\.10±0\.0\d \(3\)", text) and "0.86±0.17" in text
        assert "undecided, " in text and "not trained, " in text and "1 of 4, 1 undecided" in text
    assert "interval" in dump(found)


def test_runs_of_older_engines_are_compared_as_before(tmp_path: Path) -> None:
    found = compare([read_run(write(name, tmp_path)) for name in ("finished", "happy")])
    assert not any(found["paired"]["all"])
    text = "\n".join(table(found, 120))
    assert "Δ voice" not in text and "±" not in text and "close" not in text


def test_the_report_says_what_is_in_the_model_and_how_sure_it_is(tmp_path: Path) -> None:
    text = page.render(gather(write("learned", tmp_path)))
    assert "Not in the model" in text and "3 of 4 topics are in the model" in text
    assert "SFT was rolled back (closeness 0.45 -&gt; 0.09), so nothing of it is in the model" in text
    assert "0.86 ± 0.17 (3)" in text and "1 of 2" in text and "undecided" in text
    assert "voice learned from 56 texts in it and 30 others" in text
    assert 'class="own"' in text and 'class="other"' in text and "void: an echo" in text
    loud = page.render(gather(write("not-separable", tmp_path)))
    assert 'class="failure bad">✗ these texts do not tell the voice' in loud
    old = page.render(gather(write("finished", tmp_path)))
    assert "±" not in old and "closeness" not in old and "Not in the model" not in old
