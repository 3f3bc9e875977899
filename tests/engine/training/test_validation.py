"""Validation: it changes no byte, its best step is what a phase commits, and a resumed phase keeps the same."""

import math

import pytest
import tiny
from breaking import FIRST

from engine.adapters import lora
from engine.contract.journal import events as e
from engine.contract.settings.config import SftConfig
from engine.training.phases import phase, settle, validation

BEST = {"validate_every": 1, "keep": "loss", "patience": 2}
HOT = {"learning_rate": 0.2}  # the held-out loss rises again


def run(kit, folder, sft=(), dpo=()):
    settings = tiny.settings(*kit, sft={"epochs": 8, **dict(sft)}, dpo={"steps": 4, **dict(dpo)})
    return tiny.new_run(folder, settings)


def test_validation_changes_no_byte_if_the_last_step_is_kept(kit, tmp_path):
    without, often = {"validate_every": 0}, {"validate_every": 1, "score_every": 1}
    plain = tiny.train_here(run(kit, tmp_path / "plain", without, without))
    looked = tiny.train_here(run(kit, tmp_path / "looked", often, often))
    assert plain.of(e.Validated) == [] and plain.adapters() == looked.adapters() != {}
    found = looked.of(e.Validated, topic=FIRST, phase="sft")
    assert [each.step for each in found] == [each.step for each in looked.of(e.Step, topic=FIRST, phase="sft")]
    assert all(each.loss > 0 and 0 <= each.score <= 1 and each.answers and each.margin is None for each in found)
    (first, *_) = looked.of(e.Validated, topic=FIRST, phase="dpo")
    assert math.isclose(first.loss, math.log(2), abs_tol=0.1) and first.margin is not None
    assert looked.of(e.StepKept) == []


def test_the_best_step_is_committed_and_patience_ends_the_phase(kit, tmp_path, monkeypatch):
    seen, committed = {}, {}
    copied, commit = validation.copied, settle.commit

    def note(session):
        arrays = copied(session)
        seen[session.attached.topic, session.attached.phase, session.attached.step] = arrays
        return arrays

    def at_commit(session, attached):
        committed[attached.topic, attached.phase] = dict(lora.adapter_weights(session.model))
        return commit(session, attached)

    monkeypatch.setattr(validation, "copied", note)
    monkeypatch.setattr(settle, "commit", at_commit)
    ran = tiny.train_here(run(kit, tmp_path / "run", {**BEST, **HOT}, {"when": "never"}))
    assert ran.of(e.Failed) == []
    early = False
    for kept in ran.of(e.StepKept):
        measured = ran.of(e.Validated, topic=kept.topic, phase=kept.phase)
        assert kept.value == min(each.loss for each in measured)
        assert kept.of == len(ran.of(e.Step, topic=kept.topic)) <= kept.planned
        early |= kept.of < kept.planned and kept.step < kept.of
        if (key := (kept.topic, kept.phase)) in committed:
            arrays = seen[(*key, kept.step)]
            assert all(bool((arrays[name] == array).all()) for name, array in committed[key].items())
    assert early


@pytest.mark.parametrize("place", ["measured", "best", "patience", "kept"])
def test_a_phase_that_is_killed_there_ends_with_the_same_bytes(place, kit, tmp_path, monkeypatch):
    """`measured`: after a measurement, before its checkpoint. `kept`: the best step is in, and not committed."""
    peace = tiny.train_here(run(kit, tmp_path / "peace", {**BEST, **HOT}))
    killed = run(kit, tmp_path / "killed", {**BEST, **HOT})

    class Killed(BaseException):
        pass

    def at(event):
        if place == "kept":
            return isinstance(event, e.StepKept)
        return isinstance(event, e.Validated) and (place == "measured" or event.best == (place == "best"))

    with monkeypatch.context() as patch:
        real = tiny.Recorder.say

        def say(self, event, **more):
            found = real(self, event, **more)
            if at(event):
                raise Killed
            return found

        patch.setattr(tiny.Recorder, "say", say)
        with pytest.raises(Killed):
            tiny.train_here(killed)
    resumed = tiny.train_here(killed)
    assert resumed.status == peace.status
    assert resumed.adapters() == peace.adapters() != {} and resumed.told() == peace.told()


def test_a_checkpoint_brings_back_measurements_and_best_arrays(kit, tmp_path, monkeypatch):
    saves, real = [], phase.save_checkpoint

    def save(session, attached):
        real(session, attached)
        saved = phase.checkpoint.load(session.run.checkpoint)
        assert saved.measures == attached.measures and saved.best_digest == attached.best_digest
        assert all(bool((saved.best[name] == array).all()) for name, array in attached.best.items())
        saves.append(len(saved.best))

    monkeypatch.setattr(phase, "save_checkpoint", save)
    assert tiny.train_here(run(kit, tmp_path / "run", BEST)).of(e.Failed) == []
    assert any(saves)


def test_the_first_of_equal_steps_is_best_and_what_was_not_measured_does_not_count():
    measures = [(1, 2.0, None), (2, 1.0, 0.5), (3, 1.0, 0.5), (4, None, 0.7)]
    assert validation.best(measures, SftConfig(keep="loss"))[0] == 2
    assert validation.best(measures, SftConfig(keep="score"))[0] == 4
    assert validation.best([(1, None, None)], SftConfig(keep="loss")) is None
    assert validation.over(measures, SftConfig(keep="loss", patience=1))
    assert not validation.over(measures, SftConfig(keep="loss", patience=2))
    assert not validation.over(measures, SftConfig(patience=1))
