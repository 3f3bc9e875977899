"""Writes a fused model as a folder that mlx-lm and transformers load.

The folder has the base's own files, with the changed weights replaced. mlx-lm renames and stacks some tensors when it
loads them, for example the experts of a mixture. This module writes them under the base's own names, so every program
that reads the base can read the fused model.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.utils import load_model, make_shards

from engine.adapters.fingerprint import digest
from engine.adapters.ledger import Ledger
from engine.adapters.module_weights import WithFactors, dense
from engine.contract.errors import InputError
from engine.contract.regular_file import read_text
from engine.model.arrays import leaves, load_arrays
from engine.model.loading import revision_of

BESIDES = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "generation_config.json",
    "*processor_config.json", "vocab.*", "merges.txt", "*.tiktoken",
)  # fmt: skip
LICENCES = ("LICENSE*", "NOTICE*")
PACKED = (".scales", ".biases")
DTYPES = ("dtype", "torch_dtype")
QUANTIZATIONS = ("quantization", "quantization_config")


@dataclass(frozen=True, slots=True)
class WeightPlace:
    """The place of a weight in the base: the tensor's name, and the expert's number if mlx-lm stacks several."""

    name: str
    expert: int | None = None


Places = dict[str, list[WeightPlace]]


def touched(ledger: Ledger) -> list[str]:
    """Returns the paths of the modules that the deltas change."""
    return sorted({path for delta in ledger.deltas for path in delta.paths})


def find_places(base: Path, paths: list[str]) -> Places | None:
    """Finds the weight of each module in the base's files, expert by expert; None if any cannot be found."""
    pristine = dict(leaves(load_model(base, lazy=True)[0].parameters()))
    files = {name: file for file in _files(base) for name in load_arrays(file)}
    search = _by_content(base)
    found: Places = {}
    for path in paths:
        name = f"{path}.weight"
        weight = pristine.pop(name)  # popped, so that its memory is freed after this path
        if name in files and mx.array_equal(load_arrays(files[name])[name], weight):
            found[path] = [WeightPlace(name)]
            continue
        slices = list(weight) if weight.ndim == 3 else [weight]
        names = [search(piece) for piece in slices]
        if any(name is None for name in names):
            return None
        found[path] = [
            WeightPlace(name, number if weight.ndim == 3 else None)
            for number, name in enumerate(names)
            if name is not None
        ]
    return found


def write_model(folder: Path, ledger: Ledger, places: Places | None) -> str | None:
    """Writes weights, config.json and tokenizer into an existing folder; adds kept deltas to their weights, in fp32.

    It first uses the base's own names (`places`). If mlx-lm loads a different model from that folder, or if `places` is
    None, it uses mlx-lm's names. Returns None, or remarks for the user about the folder. Raises InputError if mlx-lm
    loads a different model under its own names, too.
    """
    left_out = copy_files(ledger.base, folder, (*BESIDES, *LICENCES))
    apart = None
    for names in (None,) if places is None else (places, None):
        said = _write(folder, ledger, names) + left_out
        if (apart := _apart(folder, ledger)) is None:
            return "; ".join(said) or None
    raise InputError(f"{ledger.base}: mlx-lm makes another model of its fused folder ({apart}); use --format adapter")


def copy_files(base: Path, folder: Path, patterns: Sequence[str]) -> list[str]:
    """Copies the base's files that match a pattern; returns a remark about the files that it left out.

    It leaves out links to files outside the base's folder: the export may be published, and such a file may be private.
    """
    left_out = []
    for file in sorted({file for pattern in patterns for file in base.glob(pattern)}):
        if _within(base, file) and file.is_file():
            shutil.copyfile(file, folder / file.name)
        else:
            left_out.append(ascii(file.name))
    if not left_out:
        return []
    return [f"left out, since it is no file of the base's folder: {', '.join(left_out)}"]


def _within(base: Path, file: Path) -> bool:
    """Returns whether a file lies in the base's folder or, if the base is a hub snapshot, in the cache's blobs."""
    homes, cache = [base.resolve()], base.parent.parent
    if revision_of(base) and not (cache / "blobs").is_symlink():
        homes.append((cache / "blobs").resolve())
    return any(file.resolve().is_relative_to(home) for home in homes)


def _write(folder: Path, ledger: Ledger, places: Places | None) -> list[str]:
    """Replaces the weights and config.json in the folder; returns remarks about them."""
    for file in folder.glob("model*"):
        file.unlink()
    config = json.loads(read_text(ledger.base / "config.json"))
    weights = _in_our_names(ledger) if places is None else _in_its_names(ledger, places)
    said = []
    if any(name.endswith(".scales") for name in weights):
        said.append("the base's weights are packed as only MLX reads them; transformers will not load the folder")
    elif places is None:
        said.append(
            "mlx-lm stores this architecture otherwise than its base does; transformers will not load the folder"
        )
    elif "auto_map" in config:
        said.append(
            "the base has code of its own, which stays behind; transformers will not load the folder without it"
        )
    if places is None:  # mlx-lm's packing may differ from the base's
        config |= {key: value for key, value in load_model(ledger.base, lazy=True)[1].items() if key in QUANTIZATIONS}
    elif not _packed(weights) and _packed(_tensors(ledger.base)):
        config = {key: value for key, value in config.items() if key not in QUANTIZATIONS}
    kept = len(_kept(ledger))
    if kept and ledger.dtype != mx.float32:
        said.append(f"{kept} weights are in float32, since rounding would lose what they learned")
    update_config(config, touched(ledger), weights)
    _save(folder, weights)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return said


def _apart(folder: Path, ledger: Ledger) -> str | None:
    """Compares the model that mlx-lm loads from the folder with the engine's, tensor by tensor.

    Returns the first difference, or the reason why mlx-lm cannot load the folder. Returns None if the models are equal.
    """
    try:
        weights = dict(leaves(load_model(folder, lazy=True)[0].parameters()))
    except Exception as error:  # noqa: BLE001 - mlx-lm raises many types on what it cannot load
        return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    wanted = {name: found for name, found in ledger.digests.items() if not name.endswith((".kept_a", ".kept_b"))}
    wanted |= {f"{path}.weight": digest(dense(module)) for path, module in _kept(ledger).items()}
    if astray := sorted(weights.keys() ^ wanted.keys()):
        return f"{astray[0]} is in one of the two only"
    while weights:
        name, array = weights.popitem()
        if digest(array) != wanted[name]:
            return f"{name} differs"
    return None


def update_config(config: dict[str, Any], touched: list[str], weights: dict[str, mx.array]) -> None:
    """Updates config.json in place to match the weights: their number type, and the modules that are not packed now."""
    floating = {
        str(array.dtype).rpartition(".")[2]
        for name, array in weights.items()
        if mx.issubdtype(array.dtype, mx.floating) and not name.endswith(PACKED)
    }
    dtype = "float32" if "float32" in floating else next(iter(sorted(floating)), "float32")
    sections = [config, *(part for part in (config.get("text_config"),) if isinstance(part, dict))]
    for section in sections:
        for key in DTYPES:
            if key in section or (section is config and key == "torch_dtype" and "dtype" not in config):
                section[key] = dtype
    for key in QUANTIZATIONS:
        settings = config.get(key)
        if isinstance(settings, dict):
            settings |= {path: False for path in touched if path in settings}


def _in_its_names(ledger: Ledger, places: Places) -> dict[str, mx.array]:
    """Returns the base's tensors with the fused weights put in; the others are cast to the engine's number type."""
    modules = dict(ledger.model.named_modules())
    weights, fused = _tensors(ledger.base), {}
    for path, each in places.items():
        weight = _weight(modules[path])
        for place in each:
            fused[place.name] = weight if place.expert is None else weight[place.expert]
            for ending in PACKED:
                weights.pop(place.name.removesuffix(".weight") + ending, None)
    as_they_are = _packed(weights)
    return {
        name: array.astype(ledger.dtype)
        if mx.issubdtype(array.dtype, mx.floating) and name.rpartition(".")[0] not in as_they_are
        else array
        for name, array in weights.items()
    } | fused


def _in_our_names(ledger: Ledger) -> dict[str, mx.array]:
    """Returns the engine's tensors under mlx-lm's names, with kept deltas added to their weights."""
    weights = dict(leaves(ledger.model.parameters()))
    for path, module in _kept(ledger).items():
        del weights[f"{path}.kept_a"], weights[f"{path}.kept_b"]
        weights[f"{path}.weight"] = _weight(module)
    return weights


def _weight(module: Any) -> mx.array:
    return dense(module) if isinstance(module, WithFactors) else module.weight


def _kept(ledger: Ledger) -> dict[str, WithFactors]:
    """Returns the modules with kept deltas, by path."""
    return {path: module for path, module in ledger.model.named_modules() if isinstance(module, WithFactors)}


def _packed(names: dict[str, mx.array]) -> set[str]:
    """Returns the names of the modules with weights packed by MLX."""
    return {name.rpartition(".")[0] for name in names if name.endswith(".scales")}


def _by_content(base: Path) -> Callable[[mx.array], str | None]:
    """Returns a function that finds the name of a tensor by its bytes; None if no tensor or several are equal."""
    digests: dict[tuple[int, ...], dict[str, list[str]]] = {}

    def search(piece: mx.array) -> str | None:
        shape = tuple(piece.shape)
        if shape not in digests:
            same: dict[str, list[str]] = {}
            weights = _tensors(base)
            while weights:
                name, array = weights.popitem()
                if tuple(array.shape) == shape:
                    same.setdefault(digest(array), []).append(name)
            digests[shape] = same
        names = digests[shape].get(digest(piece), [])
        return names[0] if len(names) == 1 else None

    return search


def _files(base: Path) -> list[Path]:
    return sorted(base.glob("model*.safetensors"))


def _tensors(base: Path) -> dict[str, mx.array]:
    """Returns the base's tensors; each is read when it is used, and stays in memory as long as its array exists."""
    return {name: array for file in _files(base) for name, array in load_arrays(file).items()}


def _save(folder: Path, weights: dict[str, mx.array]) -> None:
    """Writes the weights in shards, with their index; empties `weights` to free the memory shard by shard."""
    shards = make_shards(weights)
    listed: dict[str, str] = {}
    size, count = sum(array.nbytes for array in weights.values()), len(shards)
    weights.clear()
    for number in range(1, count + 1):
        shard = shards.pop(0)
        name = f"model-{number:05d}-of-{count:05d}.safetensors" if count > 1 else "model.safetensors"
        mx.save_safetensors(str(folder / name), shard, {"format": "pt"})
        listed |= dict.fromkeys(shard, name)
    if count > 1:
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(listed.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
