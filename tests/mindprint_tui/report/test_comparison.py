"""Several runs as one table: side by side, never a number in place of what was not run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from golden import put
from msgspec.structs import replace

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import FIGURES
from mindprint_tui.report.comparison import compare, dump, read_run
from mindprint_tui.view.pages.comparison import table
from mindprint_tui.view.text import cell_len
from tests.journals.make import STORIES, Story, topic_id, write

PROGRAM = Path(sys.executable).with_name("mindprint-tui")


def told(tmp_path: Path, *names: str) -> dict[str, Any]:
    return compare([read_run(write(name, tmp_path)) for name in names])


def journal(tmp_path: Path, name: str, records: list[Record]) -> RunDir:
    return put(tmp_path / name, records)


def configured(story: Story, **settings: dict[str, Any]) -> list[Record]:
    """The story's journal with settings of its own in run_started."""
    found = []
    for record in story.records:
        event = replace(record.event, settings=settings) if isinstance(record.event, e.RunStarted) else record.event
        found.append(replace(record, event=event))
    return found


def strategy(tmp_path: Path, name: str, dpo: float | None) -> RunDir:
    story = Story(name, 2)
    story.open()
    story.base()
    for number in range(2):
        story.topic(number, 0.7, dpo)
    story.finish(2, 0)
    paths = {"path": "/somewhere/keeper"}
    return journal(tmp_path, name, configured(story, adapters={"strategy": name}, curriculum=paths, dpo={"rank": 4}))


def test_three_strategies_in_one_table(tmp_path: Path) -> None:
    runs = [strategy(tmp_path, "fuse_between", 0.9), strategy(tmp_path, "shared", 0.8)]
    found = compare([read_run(run) for run in (*runs, strategy(tmp_path, "sft_only", None))])
    assert found["warnings"] == []
    assert found["differences"] == {"adapters.strategy": ["fuse_between", "shared", "sft_only"]}
    sums = found["all"]["runs"]
    assert [run["at_end"]["voice"] for run in sums] == pytest.approx([0.9, 0.8, 0.7])
    assert [(run["dpo_kept"], run["dpo_ran"]) for run in sums] == [(2, 2), (2, 2), (0, 0)]
    assert sums[2]["dpo"] == {"topics": 0} | dict.fromkeys(FIGURES)
    lines = table(found, 120)
    assert max(map(cell_len, lines)) <= 120
    dpo = next(line for line in lines if line.startswith("dpo  "))
    assert " ".join(dpo.split()) == "dpo ✓ 0.90 0.58 1.00 – 25 s ✓ 0.80 0.56 1.00 – 25 s –"
    assert "not run" not in " ".join(lines[:-1])


def test_what_was_not_run_is_not_zero(tmp_path: Path) -> None:
    found = told(tmp_path, "rolled-back", "not-a-number", "happy")
    first, second, third, fourth = found["topics"][:4]
    assert [cell["verdict"] for cell in first["runs"]] == ["passed", "error", "passed"]
    assert first["runs"][1]["reason"] == "rule finite-loss"
    assert first["runs"][1]["at_end"] is None
    assert first["runs"][1]["sft"]["voice"] is None
    assert first["runs"][0]["kept"] == "sft"
    assert first["runs"][0]["at_end"]["voice"] == 0.62
    assert second["runs"][0]["at_end"]["voice"] == 0.0  # it collapsed, and that was measured
    assert third["runs"][1]["verdict"] is None
    assert fourth["runs"][1] is None
    assert fourth["runs"][2]["dpo"]["voice"] is None
    assert (found["all"]["common"], found["all"]["topics"]) == (1, 6)
    assert [run["errors"] for run in found["all"]["runs"]] == [0, 1, 0]
    text = "\n".join(table(found, 120))
    assert "error: rule finite-loss" in text
    assert "not in this run" in text
    assert "begun, no verdict" in text
    assert "! happy: died; what it has not run is not a score" in text


def test_nothing_in_common_has_no_mean(tmp_path: Path) -> None:
    sums = told(tmp_path, "hostile", "restarted")["all"]
    assert sums["common"] == 0
    assert all(run["at_end"]["voice"] is None and run["seconds"] is None for run in sums["runs"])


def test_steps_that_were_trained_twice_count_once(tmp_path: Path) -> None:
    run = read_run(write("restarted", tmp_path))
    assert run.phases[topic_id(1), "sft"].steps == 14
    assert run.phases[topic_id(1), "sft"].seconds == pytest.approx(14 * 2.1)


def test_another_curriculum_and_another_base_are_said(tmp_path: Path) -> None:
    story = Story("other", 3)
    story.open()
    story.base()
    story.finish(0, 1)
    records = configured(story, curriculum={"path": "/elsewhere/mine"})
    records = [
        replace(r, event=replace(r.event, fingerprint="another")) if isinstance(r.event, e.ModelLoaded) else r
        for r in records
    ]
    other = read_run(journal(tmp_path, "other", records))
    warnings = " ".join(compare([read_run(strategy(tmp_path, "shared", 0.8)), other])["warnings"])
    assert "different curricula" in warnings
    assert "different base models" in warnings
    assert "1 topics are not in every run" in warnings


@pytest.mark.parametrize("cells", [40, 80, 120, 200])
def test_every_line_fits(tmp_path: Path, cells: int) -> None:
    found = told(tmp_path, *(name for name in STORIES if name != "many"))
    for line in table(found, cells):
        assert cell_len(line) <= cells, line
        assert line.isprintable(), line


def test_the_command(tmp_path: Path) -> None:
    for name in ("finished", "happy"):
        write(name, tmp_path)
    command = [PROGRAM, "compare", "finished", "happy", "--logs", tmp_path]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "finished" in plain and "passed" in plain
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert [run["run"] for run in found["runs"]] == ["finished", "happy"]
    wrong = subprocess.run([*command, "nowhere"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "no such run" in wrong.stderr


def test_a_score_that_is_not_finite_stays_readable_json(tmp_path: Path) -> None:
    found = told(tmp_path, "happy")
    found["topics"][0]["runs"][0]["sft"]["voice"] = float("nan")
    assert json.loads(dump(found))["topics"][0]["runs"][0]["sft"]["voice"] == "nan"
