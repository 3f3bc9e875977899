"""A folder that came from a stranger: no command that is given in it runs the code that lies there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import yaml

from engine.contract.errors import InputError
from engine.contract.python_child import environment
from engine.model import wheels

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
MODULES = (
    "engine/__init__",
    "mindprint_tui/__init__",
    "random",
    "yaml",
    "json",
    "sitecustomize",
    "pip/__init__",
    "mlx",
)
CODE = "from pathlib import Path\nopen({marker!r}, 'a').write(__file__ + '\\n')\nraise SystemExit(77)\n"


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A working directory full of modules with the names of those that this program imports."""
    folder = tmp_path / "received"
    for name in MODULES:
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CODE.format(marker=str(tmp_path / "executed")))
    return folder


def executed(received: Path) -> str:
    marker = received.with_name("executed")
    return marker.read_text() if marker.exists() else ""


def test_no_command_runs_code_of_the_working_directory(received: Path) -> None:
    sources = tiny.make_model(received / "model"), tiny.make_curriculum(received / "course", 1)
    (received / "mine.yaml").write_text(yaml.safe_dump(tiny.settings(*sources)))
    text = {"topic": tiny.TOPICS[0], "question": "What good is any lamp at sea?", "answer": "Aye."}
    (received / "texts.jsonl").write_text(json.dumps(text) + "\n")
    for arguments, status in (
        (["check", "mine.yaml"], 0),
        (["--no-ui", "mine.yaml", "--run-id", "night"], 0),
        (["--no-ui", "--resume", "night"], 0),
        (["runs"], 0),
        (["report", "night"], 0),
        (["metrics", "night", "--csv"], 0),
        (["compare", "night", "night"], 0),
        (["export", "night", "--to", "model-out"], 0),
        (["score", "night", "texts.jsonl"], 0),
        (["score", "mine.yaml", "texts.jsonl"], 0),
        (["chat", "night", "--max-tokens", "2"], 0),
        (["ctl", "night", "stop"], 2),
    ):
        done = subprocess.run(
            [PROGRAM, *arguments], cwd=received, input="Aye?\n", capture_output=True, text=True, timeout=300
        )
        assert (done.returncode, executed(received)) == (status, ""), (arguments, done.stdout, done.stderr)


def test_pip_is_not_taken_from_the_working_directory(received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(received)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = wheels.Wheel("no-such-package-of-this-name", "1.0", 1, {}, 1)
    with pytest.raises(InputError, match="could not be fetched"):
        wheels.download(wheel, received)
    assert executed(received) == ""


@pytest.mark.parametrize(
    ("given", "kept"), [("", None), (":", None), (":/lib", "/lib"), ("/lib::/more", "/lib:/more"), ("/lib", "/lib")]
)
def test_of_pythonpath_a_child_gets_the_folders_that_a_person_named(given, kept, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", given.replace(":", os.pathsep))
    found = environment()
    assert found.get("PYTHONPATH") == (kept and kept.replace(":", os.pathsep))
    assert found["PYTHONSAFEPATH"] == "1"
