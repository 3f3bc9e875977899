"""Warnings of an amount of training that is far from what the recipes were found for, and of uneven topics."""

import json
import re
from pathlib import Path

import pytest
import tiny

from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import load_config
from engine.pipeline.setup import load
from engine.preflight.amount import amount_warnings

CONFIGS = tiny.ROOT / "configs"


def warned(config: RunConfig) -> list[str]:
    return amount_warnings(load(config), config)


@pytest.mark.parametrize("name", ["quick", "demo", "mac-studio"])
def test_the_shipped_recipes_are_near_what_they_were_found_for(name):
    assert warned(load_config(CONFIGS / f"{name}.yaml")) == []


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sft.epochs=10", r"SFT of 2 of 2 topics is far more .* \(8 rows, 10 epochs: 20 steps x rate 0.0002 = 0.004"),
        (
            "sft.learning_rate=3e-5",
            r"far less training .* 4 steps x rate 3e-05 = 0.00012; the recipes have 0.0008 to 0.0012",
        ),
        ("dpo.steps=100", r"DPO of 2 .* \(\d pairs: 100 steps x rate 0.0001 = 0.01; the recipes have 0.0006 to 0.003"),
        ("foundation.epochs=1", r"the foundation is far less .* \(56 rows, 1 epoch: 14 steps x rate 0.0005 = 0.007"),
    ],
)
def test_far_more_or_less_is_warned_of_with_its_numbers(override, expected):
    (warning,) = warned(load_config(CONFIGS / "quick.yaml", (override,)))
    assert re.search(expected, warning), warning


def test_twenty_rows_ten_times_are_not_eight_rows_ten_times(tmp_path: Path):
    """SFT's steps grow with a topic's rows, and one rate serves topics of all sizes."""
    folder = tiny.make_curriculum(tmp_path / "course", 2)
    row = {"topic": tiny.TOPICS[0]}
    with open(folder / "sft.jsonl", "a", encoding="utf-8") as file:
        for number in range(17):
            turns = [
                tiny.turn("user", f"Who minds number {number}?"),
                tiny.turn("assistant", f"Aye, {number} is mine."),
            ]
            file.write(json.dumps(row | {"messages": turns}) + "\n")
    place, rest = tmp_path / "config.yaml", "foundation: {epochs: 0}\ndpo: {when: never}\n"
    place.write_text(f"curriculum: {{path: {folder}}}\nsft: {{epochs: 10, batch: 1}}\n{rest}")
    uneven = f"{tiny.TOPICS[0]} has 20 rows, 10 epochs and takes 200 steps, {tiny.TOPICS[1]} has 3 rows, 10 epochs and"
    assert any(uneven in text for text in warned(load_config(place)))
