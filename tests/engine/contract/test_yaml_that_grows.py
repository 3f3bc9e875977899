"""YAML of a few hundred bytes that stands for a value without an end, and values too long for a message."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.contract.settings.course import read_course
from engine.contract.settings.load import load_config
from engine.contract.wording import LONGEST, nearest, short
from engine.data.topic_list import name_course
from engine.data.voice_profile import load_profile

ROOT = Path(__file__).parents[3]
PROGRAM = Path(sys.executable).with_name("mindprint-tui")
LEVELS = [f"l{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
GROWING = "l0: &a0 [lol]\n" + "\n".join(LEVELS)


@pytest.mark.parametrize("field", ["model:\n  name: *a29", "curriculum: *a29", "sft:\n  rank: *a29", "*a29"])
def test_aliases_are_refused_with_their_line(tmp_path: Path, field: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{GROWING}\n{field}\n")
    with pytest.raises(InputError, match=r"mine.yaml:\d+: cannot be read: not valid YAML") as caught:
        load_config(file)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("read", [load_profile, read_course])
def test_so_they_are_in_the_files_of_a_curriculum(tmp_path: Path, read) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(f"{GROWING}\nname: *a29\n")
    with pytest.raises(InputError, match=r"file.yaml:2: cannot be read: .*an alias \(\*a0\); write the value itself"):
        read(file)


def test_an_alias_on_the_command_line_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("curriculum:\n  path: x\n")
    with pytest.raises(InputError, match="is not a YAML value"):
        load_config(file, ("run.name=[&a [x], *a]",))


def test_the_program_refuses_them_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"{GROWING}\nrun:\n  name: *a29\n")
    little = (3 << 30, 3 << 30)
    done = subprocess.run(
        [PROGRAM, "check", "mine.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, little),
    )  # fmt: skip
    assert done.returncode == 2 and "an alias" in done.stderr, done.stderr


def test_a_value_in_a_message_is_a_line() -> None:
    for value in ("x" * 10_000_000, ["x" * 1000] * 1000, {"a": {"b": ["c"] * 1000}}, 10**5000, "a"):
        assert len(short(value)) <= LONGEST
    assert len(nearest("x" * 1_000_000, ["x" * 100])) < 100


def test_a_value_without_an_end_is_a_line() -> None:
    value: list = ["lol"]
    for _ in range(60):
        value = [value] * 9
    assert short(value).endswith("...")


def test_two_halves_of_an_emoji_are_joined_and_one_is_refused(tmp_path: Path) -> None:
    """JSON is YAML, and writes an emoji as two halves; one of them alone can be written to no summary.json."""
    topics = '[{"id": "unit-01", "title": "T", "chapters": [{"id": "c-01", "title": "C", "topics": ['
    file = tmp_path / "curriculum.yaml"
    whole = '{"units": ' + topics + '{"id": "t-01", "title": "The TITLE"}]}]}]}'
    file.write_text(whole.replace("TITLE", r"\ud83d\ude00"))
    assert [place.title for place in read_course(file).values()] == ["The \U0001f600"]
    file.write_text(whole.replace("TITLE", r"\ud83d"))
    with pytest.raises(InputError, match=r"curriculum.yaml:1: .*half of a character in 'The \\ud83d'"):
        read_course(file)
    with pytest.raises(InputError, match="half of a character"):
        name_course(["fine", "not \ud83d"], "rows")
