"""Saves and loads a phase's checkpoint: adapter, optimizer, random state, cursor, DPO reference.

A checkpoint is written to a temporary folder and then renamed.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, cast

import mlx.core as mx
import msgspec
from mlx.utils import tree_unflatten
from msgspec import Meta

from engine.adapters.fingerprint import digests_of, fingerprint
from engine.contract.regular_file import read_text
from engine.contract.run_folder.files import remove_folder, write_folder
from engine.model.arrays import integers, leaves, load_arrays

ARRAYS = "arrays.safetensors"
STATE = "state.json"
GROUPS = ("adapter", "optimizer", "reference", "best")  # of arrays
Count = Annotated[int, Meta(ge=0)]
Measure = tuple[Count, float | None, float | None]  # step, held-out loss, score; None: not measured or not finite


class State(TypedDict):
    """The content of state.json: the numbers of a Checkpoint; older engines wrote no digest, run and measures."""

    topic: str
    attempt: Count
    phase: str
    seed: Count
    step: Count
    rng: Count
    refused: Count
    seq: int
    model: str
    run: NotRequired[str]
    digest: NotRequired[str]
    measures: NotRequired[list[Measure]]
    best_digest: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a phase between two optimizer steps. No gradient accumulation is in progress.

    `step` is the number of the next optimizer step, from 0. Every batch follows from (`seed`, `step`), so these two are
    the data cursor. `rng` is MLX's random state. `seq` is the journal's sequence number at that moment. `refused`
    counts the steps that were not finite. `model` is the fingerprint of the frozen weights under the adapter.
    `reference` holds the values that DPO computed before its first step. `run` is the identity of the run's journal.
    `measures` are the validations so far, and `best` is the adapter of the best one, with its digest.
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
    run: str = ""
    measures: list[Measure] = field(default_factory=list)
    best: dict[str, mx.array] = field(default_factory=dict)
    best_digest: str = ""


def save(folder: Path, checkpoint: Checkpoint) -> int:
    """Writes the checkpoint atomically. Returns its size in bytes."""
    groups = {name: getattr(checkpoint, name) for name in GROUPS}
    arrays = {f"{group}/{name}": array for group, items in groups.items() for name, array in items.items()}
    state = {name: getattr(checkpoint, name) for name in State.__annotations__ if name != "digest"}
    state["digest"] = _digest(state, arrays)

    def write(into: Path) -> None:
        mx.save_safetensors(str(into / ARRAYS), arrays)
        (into / STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")

    write_folder(folder, write)
    return sum(file.stat().st_size for file in folder.iterdir())


def load(folder: Path) -> Checkpoint | None:
    """Returns the checkpoint of the interrupted phase, or None if there is none. Raises if it cannot be read."""
    if not (folder / STATE).exists():
        return None
    state: dict[str, Any] = {**msgspec.json.decode(read_text(folder / STATE), type=State)}
    arrays = load_arrays(folder / ARRAYS)
    wanted = state.pop("digest", None)  # older engines wrote no digest
    if wanted is not None and _digest(state, arrays) != wanted:
        raise ValueError("its arrays or its numbers are not those that were written")
    groups: dict[str, Any] = {name: {} for name in GROUPS}
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = array
    return Checkpoint(**state, **groups)


def _digest(state: dict[str, Any], arrays: dict[str, mx.array]) -> str:
    """Returns one hash over a checkpoint's numbers and arrays, to detect a bit flip on the disk."""
    return fingerprint({name: repr(value) for name, value in state.items()} | digests_of(arrays))


def clear(folder: Path) -> None:
    """Deletes the checkpoint after its phase was committed or rolled back."""
    remove_folder(folder)


def random_state() -> int:
    """Returns MLX's random state as the integer that `mx.random.seed` accepts to restore it."""
    high, low = integers(cast(list[mx.array], mx.random.state)[0])
    return high << 32 | low


def flat(tree: object) -> dict[str, mx.array]:
    """Flattens a tree of arrays, such as an optimizer's state, into a dictionary from name to array."""
    return dict(leaves(tree))


def unflat(arrays: dict[str, mx.array]) -> dict[str, object]:
    """Rebuilds the tree that `flat` flattened."""
    tree: dict[str, object] = tree_unflatten(list(arrays.items()))
    return tree
