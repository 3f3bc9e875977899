"""The checkpoint of a phase: adapter, optimizer state, RNG, cursor and reference, written beside and renamed."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_unflatten

from engine.adapters.fingerprint import digests_of, fingerprint
from engine.contract.regular_file import read_text
from engine.contract.run_folder.files import remove_folder, write_folder
from engine.model.arrays import integers, leaves, load_arrays

ARRAYS = "arrays.safetensors"
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A phase as it stood before optimizer step `step` (from 0), between two steps: no accumulation is half done.

    Every batch follows from (`seed`, `step`), so they are the data cursor; `rng` is MLX's random state. `seq` is the
    journal's number at that moment, `refused` counts the steps that were not finite, `model` is the fingerprint of the
    frozen weights under the adapter, `reference` holds what DPO computed before its first step.
    """

    topic: str
    attempt: int
    phase: str
    seed: int
    step: int
    rng: int
    refused: int
    seq: int
    model: str
    adapter: dict[str, mx.array]
    optimizer: dict[str, mx.array]
    reference: dict[str, mx.array] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint) -> int:
    """Writes the checkpoint in one go; returns its size in bytes."""
    groups = {"adapter": checkpoint.adapter, "optimizer": checkpoint.optimizer, "reference": checkpoint.reference}
    arrays = {f"{group}/{name}": array for group, items in groups.items() for name, array in items.items()}
    names = ("topic", "attempt", "phase", "seed", "step", "rng", "refused", "seq", "model")
    state = {name: getattr(checkpoint, name) for name in names}

    state["digest"] = _digest(state, arrays)

    def write(into: Path) -> None:
        mx.save_safetensors(str(into / ARRAYS), arrays)
        (into / STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")

    write_folder(folder, write)
    return sum(file.stat().st_size for file in folder.iterdir())


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint of the phase that was at work, None where there is none; raises where it cannot be read."""
    if not (folder / STATE).exists():
        return None
    state = json.loads(read_text(folder / STATE))
    arrays = load_arrays(folder / ARRAYS)
    wanted = state.pop("digest", None)  # an older engine wrote none
    if wanted is not None and _digest(state, arrays) != wanted:
        raise ValueError("its arrays or its numbers are not those that were written")
    groups: dict[str, dict[str, mx.array]] = {"adapter": {}, "optimizer": {}, "reference": {}}
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = array
    return Checkpoint(**state, adapter=groups["adapter"], optimizer=groups["optimizer"], reference=groups["reference"])


def _digest(state: dict[str, Any], arrays: dict[str, mx.array]) -> str:
    """One hash over a checkpoint's numbers and arrays: a bit that flips on the disk is seen."""
    return fingerprint({name: repr(value) for name, value in state.items()} | digests_of(arrays))


def clear(folder: Path) -> None:
    """Forgets the checkpoint of a phase that has been committed or rolled back."""
    remove_folder(folder)


def random_state() -> int:
    """MLX's random state as the number that `mx.random.seed` makes it from."""
    high, low = integers(cast(list[mx.array], mx.random.state)[0])
    return high << 32 | low


def flat(tree: object) -> dict[str, mx.array]:
    """A tree of arrays (an optimizer's state) as names and arrays."""
    return dict(leaves(tree))


def unflat(arrays: dict[str, mx.array]) -> dict[str, object]:
    """The tree that `flat` took apart."""
    tree: dict[str, object] = tree_unflatten(list(arrays.items()))
    return tree
