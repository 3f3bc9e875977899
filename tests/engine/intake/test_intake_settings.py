"""The configuration that is written fits the number of rows: it loads, and asks for a known amount of training."""

from pathlib import Path

import pytest

from engine.contract.settings.load import load_config
from engine.data.batches import plan_epochs
from engine.intake.settings import EMBEDDED, Size, settings
from engine.preflight.amount import FAR, FOUND


@pytest.mark.parametrize("topics", [1, 4])
@pytest.mark.parametrize("rows", [25, 48, 60, 200, 500, 2000, 100_000])
def test_the_amount_of_training_is_that_of_a_recipe(tmp_path: Path, rows: int, topics: int) -> None:
    (tmp_path / "me").mkdir()
    largest = -(-rows // topics)
    path = tmp_path / "me.yaml"
    path.write_text(settings("me", EMBEDDED, Size(rows, topics, largest, 36 * topics, 60, 300)))
    config = load_config(path)
    main = config.sft if topics == 1 else config.foundation
    plan = plan_epochs(rows, main.batch, 1, main.epochs)
    least, most = FOUND["sft" if topics == 1 else "foundation"]
    assert least / FAR <= plan.steps * main.learning_rate <= most * FAR
    if topics > 1:
        plan = plan_epochs(largest, config.sft.batch, 1, config.sft.epochs)
        assert plan.steps * config.sft.learning_rate <= FOUND["sft after it"][1] * FAR
    assert config.model.max_length == 512 and config.evaluation.max_tokens == 64
    assert config.dpo.when == "gated" and (config.foundation.epochs == 0) == (topics == 1)


def test_without_pairs_there_is_no_dpo(tmp_path: Path) -> None:
    (tmp_path / "me").mkdir()
    path = tmp_path / "me.yaml"
    path.write_text(settings("me", EMBEDDED, Size(30, 1, 30, 0, 60, 200)))
    assert load_config(path).dpo.when == "never"
