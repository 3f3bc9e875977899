"""What a shell is offered at each place of a command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden import put, said

from engine.contract.journal import events as e

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
TOPIC = "unit-01/chapter-01/lamp"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    loaded = e.CurriculumLoaded((e.TopicInfo(TOPIC, "The lamp", 1, 1, 1),), ())
    put(tmp_path / "logs" / "night", said(e.RunStarted("night", "keeper", 0, 1, {}), loaded))
    (tmp_path / "mine.yaml").write_text("curriculum: {path: course}\n")
    (tmp_path / "course").mkdir()
    units = "units: [{id: u, title: U, chapters: [{id: c, title: C, topics: [{id: t, title: T}]}]}]\n"
    (tmp_path / "course" / "curriculum.yaml").write_text(units)
    (tmp_path / "broken.yaml").write_text("[")
    return tmp_path


def offered(folder: Path, words: str) -> list[str]:
    environment = os.environ | {
        "_MINDPRINT_TUI_COMPLETE": "bash_complete",
        "COMP_WORDS": f"mindprint-tui {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    done = subprocess.run([PROGRAM], env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [kind_value.partition(",")[2] for kind_value in done.stdout.split()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("re", ["report", "review"]),
        ("run co", ["configs/demo.yaml", "configs/mac-studio.yaml", "configs/quick.yaml"]),
        ("run mi", ["mine.yaml"]),
        ("attach ", ["night"]),
        ("chat logs/n", ["logs/night"]),
        ("--resume n", ["night"]),
        ("ctl night skip ", [TOPIC]),
        ("chat night --stage ", [TOPIC]),
        ("vo", ["vote"]),
        ("vote n", ["night"]),
        ("vote night n", ["night"]),
        ("vote --stages f", ["final"]),
        ("vote night --stages sft d", ["dpo"]),
        ("mine.yaml --topic ", ["u/c/t"]),
        ("check broken.yaml --topic ", []),
        ("ctl nowhere skip ", []),
    ],
)
def test_a_shell_completes(folder: Path, words: str, expected: list[str]) -> None:
    assert offered(folder, words) == expected


def test_the_first_word_is_a_command_or_a_configuration(folder: Path) -> None:
    found = offered(folder, "")
    assert {"attach", "chat", "mine.yaml", "configs/quick.yaml"} <= set(found)
    assert offered(folder, "m") == ["metrics", "mine.yaml"]
