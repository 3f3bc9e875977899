"""A run goes on as it began: what may not change while it is stopped, and that what may changes no byte."""

import functools
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import huggingface_hub
import mlx.core as mx
import pytest
import tiny
import yaml
from breaking import FIRST, SECOND, settings, stopping_after
from check_sums import without_sums
from transformers.utils import chat_template_utils

from engine.adapters.committed_model import open_stage
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import BASE
from engine.model.backend import prepare
from engine.runtime import recorder
from engine.training import checkpoint
from engine.training.phases import phase


@pytest.fixture
def stopped(kit, tmp_path, monkeypatch) -> RunDir:
    """A run on a curriculum of its own, stopped after the first of its two SFT steps."""
    config = settings(kit, "sft")
    config["curriculum"]["path"] = str(shutil.copytree(kit[1], tmp_path / "curriculum"))
    return stop(tiny.new_run(tmp_path / "run", config), monkeypatch)


def stop(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    with monkeypatch.context() as patch:
        stopping_after(patch, "save_checkpoint")
        assert tiny.train_here(run).status == 130
    return run


def configured(run: RunDir, section: str, name: str, value: object) -> None:
    config = yaml.safe_load(run.config.read_text())
    config[section][name] = value
    run.config.write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("run", "seed", 99),
        ("model", "max_length", 120),
        ("model", "dtype", "bfloat16"),
        ("curriculum", "heldout_share", 0.5),
        ("curriculum", "quiz_share", 0.2),
        ("sft", "learning_rate", 0.5),
        ("dpo", "beta", 0.5),
        ("adapters", "strategy", "shared"),
    ],
)
def test_a_setting_that_decides_what_is_trained_is_refused_by_name(stopped, unbroken, section, name, value):
    before = yaml.safe_load(stopped.config.read_text())
    configured(stopped, section, name, value)
    with pytest.raises(InputError, match=rf"config\.yaml: {section}\.{name}: found {value!r}, but the run began with"):
        tiny.train_here(stopped)
    stopped.config.write_text(yaml.safe_dump(before))
    assert tiny.train_here(stopped).adapters() == unbroken["sft"].adapters()


def test_a_setting_that_decides_nothing_that_is_trained_may_change(stopped, unbroken):
    configured(stopped, "run", "checkpoint_every", 7)
    configured(stopped, "run", "name", "another")
    assert tiny.train_here(stopped).adapters() == unbroken["sft"].adapters()


# The rows.


def rows(name: str, change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / name
        found = [json.loads(line) for line in file.read_text().splitlines()]
        change(found)
        file.write_text("".join(json.dumps(row) + "\n" for row in found))

    return edit


def course(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "curriculum.yaml"
        found = yaml.safe_load(file.read_text())
        change(found["units"][0]["chapters"][0]["topics"])
        file.write_text(yaml.safe_dump(found))

    return edit


def of_the_second(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in found if row["topic"] == SECOND]


CHANGES = {
    "an answer": (FIRST, rows("sft.jsonl", lambda found: found[0]["messages"][1].update(content="Aye, otherwise."))),
    "the order": (FIRST, rows("sft.jsonl", lambda found: found.insert(0, found.pop(1)))),
    "one row fewer": (SECOND, rows("sft.jsonl", lambda found: found.pop())),
    "a pair": (SECOND, rows("preferences.jsonl", lambda found: of_the_second(found)[0].update(rejected="None."))),
    "a held-out pair": (
        SECOND,
        rows("preferences.jsonl", lambda found: of_the_second(found)[2].update(rejected="None.")),
    ),
    "a reference": (SECOND, rows("quiz.jsonl", lambda found: found[1].update(reference="Aye: it holds."))),
    "a topic fewer": (SECOND, course(lambda topics: topics.pop())),
    "the topics' order": (SECOND, course(lambda topics: topics.reverse())),
}


@pytest.mark.parametrize(("topic", "change"), CHANGES.values(), ids=CHANGES)
def test_other_rows_are_refused_with_their_topic(stopped, unbroken, tmp_path, topic, change):
    folder, aside = tmp_path / "curriculum", tmp_path / "aside"
    shutil.copytree(folder, aside)
    change(folder)
    with pytest.raises(InputError) as caught:
        tiny.train_here(stopped)
    assert str(caught.value).startswith(f"{folder}: topic {topic}: its rows, or its place in the course, are not what")
    shutil.rmtree(folder)
    aside.rename(folder)
    assert tiny.train_here(stopped).adapters() == unbroken["sft"].adapters()


def test_rows_that_lie_elsewhere_now_are_gone_on_with(stopped, unbroken, tmp_path):
    moved = (tmp_path / "curriculum").rename(tmp_path / "moved")
    (moved / "sft.jsonl").rename(moved / "rows.jsonl")
    configured(stopped, "curriculum", "path", str(moved))
    configured(stopped, "curriculum", "sft", str(moved / "rows.jsonl"))
    assert tiny.train_here(stopped).adapters() == unbroken["sft"].adapters()


def test_a_run_of_an_engine_that_journaled_no_rows_goes_on_and_is_held_to_what_it_found(stopped, tmp_path):
    lines = [json.loads(line) for line in without_sums(stopped.journal.read_bytes()).splitlines()]
    assert [line.pop("rows") for line in lines if line["kind"] == "curriculum_loaded"]
    assert [line.pop("rendered") for line in lines if line["kind"] == "audited"]  # nor tokens
    stopped.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    CHANGES["an answer"][1](tmp_path / "curriculum")
    assert tiny.train_here(stopped).status == 0
    CHANGES["the order"][1](tmp_path / "curriculum")
    with pytest.raises(InputError, match=f"topic {FIRST}: its rows"):
        tiny.train_here(stopped)


# What they are rendered to.

MIDNIGHT = 1_800_057_600.0  # 15 Jan 2027, 00:00 UTC


def template(model: Path, more: str) -> None:
    """Puts something before the chat template of a model."""
    file = model / "tokenizer_config.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"chat_template": more + found["chat_template"]}))


@pytest.fixture
def own(kit, tmp_path, monkeypatch) -> Path:
    """A model whose tokenizer is its own, and read from its folder by every engine."""
    monkeypatch.setattr(tiny, "tokenizer", lambda load, path: load(path))
    return Path(shutil.copytree(kit[0], tmp_path / "model"))


def it_is(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """The time, for the journal and for the template."""
    patch.setattr(recorder, "JournalWriter", functools.partial(JournalWriter, clock=lambda: seconds))
    patch.setattr(chat_template_utils, "datetime", type("Now", (), {"now": lambda: datetime.fromtimestamp(seconds)}))


@pytest.mark.parametrize("strategy", ["sft_only", "fuse_between"])
def test_a_template_that_states_the_date_makes_the_same_run_before_and_after_midnight(
    kit, own, tmp_path, monkeypatch, strategy
):
    template(own, "<|im_start|>system\nToday: {{ strftime_now('%d %b %Y') }}<|im_end|>\n")
    config = tiny.settings(own, kit[1], adapters={"strategy": strategy}, dpo={"steps": 3})
    with monkeypatch.context() as patch:
        it_is(patch, MIDNIGHT - 40_000)
        peace = tiny.train_here(tiny.new_run(tmp_path / "peace", config))
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch:
        it_is(patch, MIDNIGHT - 20_000)
        stopping_after(patch, "save_checkpoint") if strategy == "sft_only" else stopping_in_dpo(patch)
        assert tiny.train_here(run).status == 130
    with monkeypatch.context() as patch:
        it_is(patch, MIDNIGHT + 2_000_000)
        ran = tiny.train_here(run)
    assert ran.of(e.Failed) == []
    assert ran.adapters() == peace.adapters() and ran.told() == peace.told()


def test_another_chat_template_is_refused_by_name(kit, own, tmp_path, monkeypatch):
    run = stop(tiny.new_run(tmp_path / "run", tiny.settings(own, kit[1])), monkeypatch)
    as_it_was = (own / "tokenizer_config.json").read_text()
    template(own, "<|im_start|>system\nBe brief.<|im_end|>\n")
    with pytest.raises(
        InputError, match=rf"model\.name: {own}: rows and questions are not rendered to the tokens that"
    ):
        tiny.train_here(run)
    (own / "tokenizer_config.json").write_text(as_it_was)
    assert tiny.train_here(run).status == 0
    assert len(tiny.Ran(run).of(e.Audited)) == 1


def test_a_run_of_an_engine_that_journaled_no_tokens_goes_on_and_is_held_to_what_it_found(
    kit, own, tmp_path, monkeypatch
):
    run = stop(tiny.new_run(tmp_path / "run", tiny.settings(own, kit[1])), monkeypatch)
    lines = [json.loads(line) for line in without_sums(run.journal.read_bytes()).splitlines()]
    assert [line.pop("rendered") for line in lines if line["kind"] == "audited"]
    run.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    template(own, "<|im_start|>system\nBe brief.<|im_end|>\n")
    assert tiny.train_here(run).status == 0
    template(own, "<|im_start|>system\nBe kind.<|im_end|>\n")
    with pytest.raises(InputError, match="rows and questions are not rendered"):
        tiny.train_here(run)


def test_a_model_of_a_hub_stays_at_the_commit_that_the_run_began_on(kit, tmp_path, monkeypatch):
    snapshots, newest = tmp_path / "models--org--model" / "snapshots", ["aaa"]
    for commit in ("aaa", "bbb"):
        shutil.copytree(kit[0], snapshots / commit)
    template(snapshots / "bbb", "Be brief. ")

    def download(hub_id, revision=None, **_more):
        assert hub_id == "org/model"
        return str(snapshots / (revision or newest[0]))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(tiny, "tokenizer", lambda load, path: load(path))
    run = stop(tiny.new_run(tmp_path / "run", tiny.settings("org/model", kit[1])), monkeypatch)
    newest[0] = "bbb"
    ran = tiny.train_here(run)
    assert [loaded.revision for loaded in ran.of(e.ModelLoaded)] == ["aaa", "aaa"] and ran.status == 0
    assert {open_stage(run, stage, prepare(), print).loaded.path for stage in (BASE, None)} == {snapshots / "aaa"}
    new = tiny.train_here(tiny.new_run(tmp_path / "new", tiny.settings("org/model", kit[1])))
    assert [loaded.revision for loaded in new.of(e.ModelLoaded)] == ["bbb"]


# The checkpoint.


def test_a_checkpoint_of_another_seed_is_not_gone_on_from(stopped):
    file = stopped.checkpoint / checkpoint.STATE
    state = json.loads(file.read_text())
    del state["digest"]  # as an older engine wrote it: the digest would find the change before the rule does
    file.write_text(json.dumps(state | {"seed": state["seed"] + 1}))
    ran = tiny.train_here(stopped)
    (failed,) = ran.of(e.Failed)
    assert (failed.rule, failed.topic) == ("resume-exact", FIRST) and f"seed {state['seed'] + 1}" in failed.message
    assert ran.verdicts() == {FIRST: "error", SECOND: "passed"}


@pytest.mark.parametrize("strategy", ["fuse_between", "shared"])
def test_a_dpo_checkpoint_of_an_older_engine_costs_the_steps_of_its_phase(kit, tmp_path, monkeypatch, strategy):
    config = tiny.settings(*kit, adapters={"strategy": strategy})
    peace = tiny.train_here(tiny.new_run(tmp_path / "peace", config))
    run = tiny.new_run(tmp_path / "run", config)
    real = checkpoint.save

    def without_a_witness(folder, state):
        state.reference.pop("witness", None)
        return real(folder, state)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", without_a_witness)
        stopping_in_dpo(patch)
        assert tiny.train_here(run).status == 130
    assert "reference/chosen" in mx.load(str(run.checkpoint / checkpoint.ARRAYS))
    ran = tiny.train_here(run)
    (warned,) = ran.of(e.Warned, key="checkpoint")
    assert "of an older engine" in warned.message and "its phase begins again" in warned.message
    assert ran.of(e.Failed) == [] and ran.status == 0
    assert ran.adapters() == peace.adapters() and ran.told() == peace.told()


@pytest.mark.parametrize("strategy", ["fuse_between", "shared"])
def test_a_gate_that_dpo_has_passed_is_not_asked_again(kit, tmp_path, monkeypatch, strategy):
    """Thresholds may change, since they judge answers; this one would leave the trained adapter to nobody."""
    config = tiny.settings(
        *kit, adapters={"strategy": strategy}, dpo={"when": "gated"}, thresholds={"dpo_trigger": 1.0}
    )
    config["curriculum"]["topics"] = [FIRST]
    peace = tiny.train_here(tiny.new_run(tmp_path / "peace", config))
    run = tiny.new_run(tmp_path / "run", config)
    with monkeypatch.context() as patch:
        stopping_in_dpo(patch)
        assert tiny.train_here(run).status == 130
    configured(run, "thresholds", "dpo_trigger", 0.0)
    ran = tiny.train_here(run)
    assert ran.adapters() == peace.adapters() and ran.committed() == peace.committed() != []
    assert ran.told() == peace.told()


def stopping_in_dpo(patch: pytest.MonkeyPatch) -> None:
    real = phase.save_checkpoint

    def save(session, attached):
        real(session, attached)
        if attached.phase == "dpo":
            session.control._signal = "SIGTERM"

    patch.setattr(phase, "save_checkpoint", save)
