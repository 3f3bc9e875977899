"""`mindprint-tui score`: texts of any origin, scored with a run's own scorer or with one that is fitted for them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
ONE = tiny.TOPICS[0]
QUESTION = "What good is any lamp at sea?"
ROWS: list[dict[str, Any]] = [
    {"topic": ONE, "question": QUESTION, "answer": "Aye, a lamp by the door saves lives, lad."},
    {"topic": ONE, "question": QUESTION, "answer": ""},
    {
        "topic": "elsewhere",
        "question": "Who?",
        "answer": "aye aye aye aye aye aye aye aye aye",
        "reference": "Me, lad.",
    },
    {"topic": "elsewhere", "question": "And who else?", "answer": "Nobody at all.", "id": 7},
]


def told(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "score", *arguments], capture_output=True, text=True, check=False, timeout=300)


def written(file: Path, *rows: Any) -> Path:
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def ran(kit: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tiny.Ran:
    return tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("logs") / "run", tiny.settings(*kit)))


def test_a_run_scores_with_the_scorer_that_it_keeps_and_is_left_as_it_was(ran: tiny.Ran, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in ran.run.path.rglob("*") if path.is_file()}
    file = written(tmp_path / "texts.jsonl", *ROWS)
    done = told(ran.run.path, file, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first, empty, loop, other = found["rows"]
    assert first["where"].endswith("texts.jsonl:1") and first["closeness"] is not None  # its reference is known
    assert (empty["voice"], empty["healthy"], empty["passes"], empty["closeness"]) == (0.0, False, False, 0.0)
    assert (loop["healthy"], loop["voice"]) == (False, 0.0) and "repeated" in loop["reason"]
    assert other["closeness"] is None and other["relevance"] is not None
    assert found["all"]["n"] == 4 and found["topics"][ONE]["voice"]["n"] == 2
    low, high = found["all"]["voice"]["interval"]
    assert low <= found["all"]["voice"]["mean"] <= high
    assert {path: path.read_bytes() for path in ran.run.path.rglob("*") if path.is_file()} == before


def test_a_configuration_has_a_scorer_fitted_and_the_table_has_each_row(kit: Any, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny.settings(*kit)))
    done = told(config, written(tmp_path / "texts.jsonl", *ROWS))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum("elsewhere" in line for line in lines) == 3 and lines[-1].startswith("all")
    assert any("the answer has no words" in line for line in lines)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "texts.jsonl: no rows; each is an object with topic, question and answer"),
        ([ROWS[0], "{\n"], "texts.jsonl:2: not a JSON object"),
        ([ROWS[0], {"topic": ONE, "question": "Who?"}], "texts.jsonl:2: answer: found None, expected text"),
        ([{"topic": ONE, "question": " ", "answer": "Aye."}], "texts.jsonl:1: question: found nothing, expected text"),
        ([ROWS[0] | {"reference": 3}], "texts.jsonl:1: reference: found 3, expected text"),
    ],
)
def test_a_bad_row_is_one_sentence(ran: tiny.Ran, tmp_path: Path, rows: list[Any], said: str) -> None:
    done = told(ran.run.path, written(tmp_path / "texts.jsonl", *rows))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_a_file_or_a_run_that_is_not_there_is_one_sentence(ran: tiny.Ran, tmp_path: Path) -> None:
    done = told(ran.run.path, tmp_path / "gone.jsonl")
    assert done.returncode == 2 and "gone.jsonl: no such file" in done.stderr
    done = told("nothing-here", written(tmp_path / "texts.jsonl", *ROWS), "--logs", ran.run.path.parent)
    assert done.returncode == 2 and "no such run" in done.stderr
