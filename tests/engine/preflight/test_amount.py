"""Warnings of an amount of training that is far from what the recipes were found for, and of uneven topics."""

import json
import re
from pathlib import Path

import pytest
import tiny

from engine.contract.settings.config import RunConfig, load_config
from engine.pipeline.setup import load
from engine.preflight.amount import amount_warnings, steps_of

CONFIGS = tiny.ROOT / "configs"


def warned(config: RunConfig) -> list[str]:
    return amount_warnings(load(config), config)


@pytest.mark.parametrize("name", ["quick", "demo", "mac-studio"])
def test_the_shipped_recipes_are_near_what_they_were_found_for(name):
    assert warned(load_config(CONFIGS / f"{name}.yaml")) == []


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "sft.epochs=25",
            r"2 of 2 topics are trained far more in SFT .* \(8 rows, 25 epochs: 50 steps x rate 0.003 = 0.15",
        ),
        ("sft.learning_rate=3e-5", r"2 of 2 topics are trained far less in SFT .* 20 steps x rate 3e-05 = 0.0006"),
        ("dpo.steps=100", r"far more in DPO .* \(\d pairs, dpo.steps 100: 100 steps x rate 0.0003 = 0.03; the recipes"),
    ],
)
def test_far_more_or_less_is_warned_of_with_its_numbers(override, expected):
    (warning,) = warned(load_config(CONFIGS / "quick.yaml", (override,)))
    assert re.search(expected, warning), warning


def test_twenty_rows_ten_times_are_not_eight_rows_ten_times(tmp_path: Path):
    """The same rows and rate with more rows in a topic: SFT's steps grow with them, and one rate serves both."""
    folder = tiny.make_curriculum(tmp_path / "course", 2)
    row = {"topic": tiny.TOPICS[0], "messages": [tiny.turn("user", "Who?"), tiny.turn("assistant", "Aye.")]}
    with open(folder / "sft.jsonl", "a", encoding="utf-8") as file:
        for number in range(17):
            turns = [
                tiny.turn("user", f"Who minds number {number}?"),
                tiny.turn("assistant", f"Aye, {number} is mine."),
            ]
            file.write(json.dumps(row | {"messages": turns}) + "\n")
    file_path = tmp_path / "config.yaml"
    file_path.write_text(f"curriculum: {{path: {folder}}}\nsft: {{epochs: 10, batch: 1}}\ndpo: {{when: never}}\n")
    config = load_config(file_path)
    curriculum = load(config)
    assert [steps_of(topic, config, "sft") for topic in curriculum.topics] == [200, 30]
    assert any(
        f"{tiny.TOPICS[0]} has 20 rows and takes 200 steps, {tiny.TOPICS[1]} has 3 rows and takes 30" in text
        for text in amount_warnings(curriculum, config)
    )
