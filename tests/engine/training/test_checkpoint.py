"""A checkpoint's state.json: what it holds comes back, and a damaged field is refused by name."""

import json
from pathlib import Path

import mlx.core as mx
import msgspec
import pytest

from engine.training import checkpoint

SAVED = checkpoint.Checkpoint("a/b/c", 1, "sft", 7, 3, 2**64 - 1, 0, 41, "f", {"x": mx.ones(2)}, {"step": mx.array(3)})


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "checkpoint", SAVED)
    again = checkpoint.load(tmp_path / "checkpoint")
    assert again is not None and (again.topic, again.step, again.rng, again.seq) == ("a/b/c", 3, 2**64 - 1, 41)
    assert again.adapter["x"].tolist() == [1.0, 1.0] and again.optimizer["step"].item() == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": "3"}, r"\$\.step"),
        ({"step": -1}, r"\$\.step"),
        ({"rng": None}, r"\$\.rng"),
        ({"topic": 5}, r"\$\.topic"),
    ],
)
def test_a_wrong_field_of_an_older_checkpoint_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """Older engines wrote no digest, so that nothing else finds the damage."""
    checkpoint.save(tmp_path / "checkpoint", SAVED)
    file = tmp_path / "checkpoint" / checkpoint.STATE
    state = json.loads(file.read_text()) | change
    del state["digest"]
    file.write_text(json.dumps(state))
    with pytest.raises(msgspec.ValidationError, match=words):
        checkpoint.load(tmp_path / "checkpoint")
