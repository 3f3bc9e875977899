"""Patterns, templates and configurations of a stranger: limited, and refused in a sentence that a person can act on."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import yaml
from mlx_lm.tokenizer_utils import TokenizerWrapper, load

from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import short
from engine.data.templates.chat_template import Renderer
from engine.data.voice_profile import load_profile
from engine.evaluation.markers import find_markers
from engine.evaluation.score import pattern_search
from engine.formats import model_card
from engine.model.loading import locate
from engine.pipeline.resumable import require_own_folders
from engine.runtime.heartbeat import Heartbeat
from engine.runtime.limits import limited
from mindprint_tui.report import head

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
ENDLESS = [r"(\w+\s?)+:", r"(\w|\s|\w\s)+:", r"(\w+ )*(\w+ )*(\w+ )*(\w+ ?)+:"]
ANSWER = "the keeper lit a lamp at dusk while seven boats came home past our rocks under wind and hard rain that night"
TEMPLATES = [
    "{% include 'other' %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ range(10**9) | list }}",
    "{{ '%99999999999d' % 1 }}",
    "{{ 'x' * 99999999999 }}",
    "{{ (1, 2)[9]['a'] }}",
    "{{ messages[0].__class__.__mro__ }}",
    "{% if %}",
]


def profile(tmp_path: Path, pattern: str) -> Path:
    file = tmp_path / "voice.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "patterns": [pattern]}], "avoid": ["never so"]}))
    return file


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_without_an_end_is_named(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_search, "PATIENCE", 0.2)
    found = load_profile(profile(tmp_path, pattern))
    with pytest.raises(InputError, match=f"{re.escape(short(pattern))}.*: more than 0.2 s of computing"):
        find_markers(found, ANSWER)
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    assert find_markers(found, "hello there") == ({"g": 0.0}, ())


def test_a_pattern_has_a_length(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="patterns of at most 2,000 characters"):
        load_profile(profile(tmp_path, "a" * 2001))
    with pytest.raises(InputError, match="a regular expression"):
        load_profile(profile(tmp_path, "(" * 900 + "a" + ")" * 900))


def test_waiting_is_not_computing() -> None:
    with limited(0.05, "a wait"):
        time.sleep(0.2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load(tiny.make_model(tmp_path_factory.mktemp("model") / "model"))._tokenizer


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_that_fails_or_never_ends_is_refused(tokenizer, template: str, monkeypatch) -> None:
    monkeypatch.setattr("engine.data.templates.chat_template.PATIENCE", 2.0)
    tokenizer.chat_template = template
    with pytest.raises(InputError, match="chat template"):
        Renderer(TokenizerWrapper(tokenizer, eos_token_ids=[tokenizer.eos_token_id]))


@pytest.mark.parametrize("name", ["x" * 300, "/" + "x" * 300, "~nobody-of-this-name/model", "a\0b"])
def test_a_model_name_that_is_no_path(name: str) -> None:
    with pytest.raises(InputError):
        locate(name, print)


@pytest.mark.parametrize(
    "text",
    [
        "curriculum:\n  path: " + "x" * 300 + "\n",
        "curriculum:\n  path: x\nmodel:\n  name: " + "x" * 300 + "\n",
        "curriculum:\n  path: x\nmodel:\n  name: ./" + "x" * 300 + "\n",
        "a: " + "[" * 5000 + "\n",
        "a: " + "{a: " * 2000 + "\n",
    ],
    ids=["path", "model", "model folder", "deep list", "deep mapping"],
)
def test_a_configuration_that_a_person_can_mend_has_status_2(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    for command in (["check", "mine.yaml"], ["--no-ui", "mine.yaml"]):
        done = subprocess.run([PROGRAM, *command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2 and "Traceback" not in done.stderr + done.stdout, done.stderr
        assert not list(tmp_path.glob("logs/*"))


@pytest.mark.parametrize("name", ["adapters", "checkpoint"])
def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path: Path, kit, name: str, monkeypatch) -> None:
    """Behind it, what looks like half a write would be renamed and deleted."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc.old").write_text("mine")
    (home / ".profile.12").write_text("mine")
    run = tiny.new_run(tmp_path / "run", tiny.settings(*kit))
    (run.path / name).symlink_to(home)
    with pytest.raises(InputError, match=f"{name}: it is a symbolic link"):
        tiny.train_here(run)
    assert sorted(path.name for path in home.iterdir()) == [".bashrc.old", ".profile.12"]
    (run.path / name).unlink()
    (run.path / name).touch()
    with pytest.raises(InputError, match=f"{name}: a file, where a folder is expected"):
        require_own_folders(run)


def test_an_engine_that_loads_gives_signs_of_life(monkeypatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(Heartbeat, "beat", lambda self: given.append(time.monotonic()))
    monkeypatch.setattr("engine.runtime.heartbeat.EVERY", 0.01)
    with Heartbeat().beating():
        while len(given) < 3:
            time.sleep(0.01)


@pytest.mark.parametrize("command", [["runs"], ["report", "no\x1b[31m"], ["run", "no\x1b[31m.yaml"], ["--x\x1b[31m"]])
def test_no_name_reaches_the_terminal_as_it_is(tmp_path: Path, command: list[str]) -> None:
    logs = "logs\x1b]0;title\x07"
    done = subprocess.run(
        [PROGRAM, *command, *(["--logs", logs] if command == ["runs"] else [])], cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    assert b"\x1b" not in done.stdout + done.stderr and b"Traceback" not in done.stderr
    assert "␛".encode() in done.stdout + done.stderr or rb"\x1b" in done.stderr


def test_a_card_shows_names_and_no_markup() -> None:
    shown = model_card.plain("![x](http://a) <img> ~~~ &amp; a|b")
    assert "\\!\\[x\\](http://a)" in shown and "\\<img\\>" in shown and "\\~" in shown and "\\&amp" in shown
    assert "```" not in model_card._fenced("a: '```\n# mine'")


def test_a_path_in_a_report_loses_what_may_name_a_person() -> None:
    assert head._value("/home/ann/models/base") == "base"
    assert head._value({"path": "/home/ann/rows.jsonl", "split": "train"}) == "path: rows.jsonl, split: train"


def test_the_run_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    require_own_folders(RunDir(tmp_path / "link"))
