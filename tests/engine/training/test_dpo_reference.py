"""What DPO compares with: measured where it is asked for, in pieces between which the engine is alive and listens."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from breaking import FIRST
from dying import Killed

from engine.contract.journal import events as e
from engine.evaluation import pairs
from engine.runtime import control
from engine.runtime.control import Control
from engine.training.phases import dpo_reference

PAIRS, HELD = 12, 9  # that are trained on, and that are not
WORDS = "wick oil glass brass door stair gale fog tide rock rope boat".split()


@pytest.fixture
def config(kit, tmp_path) -> dict[str, Any]:
    """More pairs than the two steps of DPO come to, and more held out than are scored at a time."""
    folder = shutil.copytree(kit[1], tmp_path / "course")
    rows = []
    for number in range(PAIRS + HELD):
        thing = f"{WORDS[number % 12]} {'again ' * (number // 12)}{number}"
        chosen, rejected = f"Aye, the {thing} {'and so ' * (number % 5)}holds.", f"The {thing} is known to hold."
        pair = {"topic": FIRST, "prompt": f"What of {thing}?", "chosen": chosen, "rejected": rejected}
        rows.append(pair | {"heldout": number >= PAIRS})
    (folder / "preferences.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = tiny.settings(kit[0], folder)
    whole["curriculum"]["topics"] = [FIRST]
    return whole


def counting(patch: pytest.MonkeyPatch, owner: Any, name: str) -> list[int]:
    """How often commands are looked at in each call of a function, with a sign of life each time."""
    real, poll, looks = getattr(owner, name), Control.poll, []

    def looked(self: Control) -> None:
        alive: list[None] = []
        self.beat = lambda: alive.append(None)
        poll(self)
        looks[-1:] = [looks[-1] + len(alive)] if looks else []

    def called(*args: Any, **more: Any) -> Any:
        looks.append(0)
        found = real(*args, **more)
        looks.append(0)
        return found

    patch.setattr(Control, "poll", looked)
    patch.setattr(owner, name, called)
    return looks


def test_signs_of_life_come_between_micro_batches_and_held_out_pairs(config, tmp_path, monkeypatch) -> None:
    for name, owner, least in (("measure", dpo_reference, 2), ("pair_logps", pairs, math.ceil(HELD / 4))):
        with monkeypatch.context() as patch:
            looks = counting(patch, owner, name)
            assert tiny.train_here(tiny.new_run(tmp_path / name, config)).status == 0
        assert looks[::2] and min(looks[::2]) >= least, name


def test_only_what_is_trained_on_is_measured_and_to_the_same_bits(config, tmp_path, monkeypatch) -> None:
    real, seen = dpo_reference.measure, []

    def measure(session, chosen, rejected, groups, visited):
        found, whole = (real(session, chosen, rejected, groups, count) for count in (visited, len(groups)))
        seen.append((chosen, rejected, groups, visited, found, whole))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(dpo_reference, "measure", measure)
        some = tiny.train_here(tiny.new_run(tmp_path / "some", config))
    ((chosen, rejected, groups, visited, found, whole),) = seen
    lengths = [len(example.ids) for side in (chosen, rejected) for example in side]
    shortest = lengths.index(min(lengths)) % PAIRS
    wanted = {row for number, group in enumerate(groups) if number < visited or shortest in group for row in group}
    assert (visited, len(groups)) == (2, 6) and len(wanted) < PAIRS
    for side in ("chosen", "rejected"):
        both = list(zip(found[side].tolist(), whole[side].tolist(), strict=True))
        assert {row for row, (a, b) in enumerate(both) if a == b} == wanted
        assert all(math.isnan(a) for row, (a, _) in enumerate(both) if row not in wanted)
    with monkeypatch.context() as patch:
        patch.setattr(dpo_reference, "measure", lambda *args: real(*args[:-1], len(args[3])))
        all_of_them = tiny.train_here(tiny.new_run(tmp_path / "all", config))
    assert some.adapters() == all_of_them.adapters() and some.status == 0
    assert [step.loss for step in some.of(e.Step)] == [step.loss for step in all_of_them.of(e.Step)]


@pytest.mark.parametrize("strategy", ["fuse_between", "shared"])
@pytest.mark.parametrize("asked", ["stop", "pause"])
def test_what_is_asked_meanwhile_is_taken_there_and_costs_no_byte(
    config, tmp_path: Path, monkeypatch, strategy: str, asked: str
) -> None:
    config["adapters"] = {"strategy": strategy}
    peace = tiny.train_here(tiny.new_run(tmp_path / "peace", config))
    run = tiny.new_run(tmp_path / "run", config)
    real, measured = dpo_reference._as_in_training, []

    def measuring(*args):
        if not measured:
            tiny.ask(run, "c0", asked)
        measured.append(None)
        return real(*args)

    def killed_while_it_is_paused(_seconds):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dpo_reference, "_as_in_training", measuring)
        patch.setattr(control.time, "sleep", killed_while_it_is_paused)
        if asked == "stop":
            assert tiny.train_here(run).status == 130
        else:
            with pytest.raises(Killed):
                tiny.train_here(run)
    assert tiny.Ran(run).of(e.Step, phase="dpo") == []
    ran = tiny.train_here(run)
    assert ran.of(e.Warned, key="checkpoint") == [] and ran.of(e.Failed) == []
    assert ran.adapters() == peace.adapters() and ran.told() == peace.told()
