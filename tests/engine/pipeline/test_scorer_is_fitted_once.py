"""The scorer of a run is fitted once, before its first answer is journaled: a death around that changes no score."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from breaking import SECOND, settings, stopping_after
from dying import Killed, die, died

from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.evaluation import evaluate, scoring


@pytest.fixture(scope="module")
def config(kit: tuple[Path, Path]) -> dict[str, Any]:
    return tiny.settings(*kit, adapters={"strategy": "sft_only"})


@pytest.fixture(scope="module")
def whole(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tiny.Ran:
    return tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("whole") / "run", config))


def scores(run: RunDir) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.scores.iterdir()}


def samples(ran: tiny.Ran) -> dict[tuple[str, str, str], e.Sample]:
    return {(sample.stage, sample.topic, sample.question): sample for sample in ran.of(e.Sample)}


@pytest.mark.parametrize(
    "death",
    [
        (scoring, "save_scorer", 1),
        (scoring, "write_folder", 1, True),
        (scoring, "write_folder", 1),
        (evaluate, "_samples", 2, True),
        (evaluate, "_samples", 3),
    ],
    ids=["while it is saved", "before it is saved", "when it is saved", "between two topics", "after SFT"],
)
def test_a_death_changes_no_score(config, whole, tmp_path, monkeypatch, death) -> None:
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, *death)
        tiny.train_here(run)
    died(run)
    ran = tiny.train_here(run)
    assert scores(run) == scores(whole.run)
    assert samples(ran) == samples(whole) and ran.told() == whole.told()
    assert len(ran.of(e.ScorerFitted)) == 1
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []


def test_it_is_journaled_before_the_first_answer(whole) -> None:
    kinds = [record.event.kind for record in whole.records]
    (fitted,) = whole.of(e.ScorerFitted)
    assert kinds.index("scorer_fitted") < kinds.index("sample")
    assert (fitted.own, fitted.others) == (12, 8) and fitted.telling
    head = json.loads((whole.run.scores / "scorer.json").read_text())
    assert list(fitted.telling) == head["telling_words"][: len(fitted.telling)]


def test_a_run_without_voice_yaml_is_scored(kit, tmp_path) -> None:
    course = tiny.make_curriculum(tmp_path / "course")
    (course / "voice.yaml").unlink()
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(kit[0], course)))
    assert ran.status == 0
    assert all(found.components == {} and found.style is not None for found in ran.of(e.Evaluated))


def test_a_damaged_scorer_is_named(config, tmp_path, monkeypatch) -> None:
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, scoring, "write_folder", 1)
        tiny.train_here(run)
    (run.scores / "scorer.json").write_text("{")
    with pytest.raises(scoring.InputError, match=r"scores: the scorer cannot be read"):
        tiny.train_here(run)


def test_a_damaged_scorer_fails_the_run_and_no_topic(kit, tmp_path, monkeypatch) -> None:
    run = tiny.new_run(tmp_path / "run", settings(kit, "sft"))
    with monkeypatch.context() as patch:
        stopping_after(patch, "save_checkpoint", SECOND)
        assert tiny.train_here(run).status == 130
    arrays = run.scores / "scorer.safetensors"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(scoring.InputError, match=r"scorer\.json: the scorer is damaged"):
        tiny.train_here(run)
    assert not tiny.Ran(run).of(e.Failed)
    arrays.write_bytes(whole)
    assert tiny.train_here(run).status == 0
