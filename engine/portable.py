"""A fused model as a folder that mlx-lm and transformers load: the base's own files with the touched weights replaced.

mlx-lm renames and stacks some tensors as it loads them (the experts of a mixture, for one). Written back under the
base's own names, a model is read by everything that reads its base.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, make_shards

from engine.adapters import digest
from engine.ledger import Ledger
from engine.weights import dense

BESIDES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "generation_config.json")
VOCABULARIES = ("vocab.*", "merges.txt", "*.tiktoken")
PACKED = (".scales", ".biases")
DTYPES = ("dtype", "torch_dtype")
QUANTIZATIONS = ("quantization", "quantization_config")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the base keeps a weight: the tensor's name, and which expert of a stacked one it is."""

    name: str
    expert: int | None = None


def write_model(folder: Path, ledger: Ledger) -> str | None:
    """Writes weights, config.json and tokenizer into an existing folder; kept deltas are put into their weights, fp32.

    Returns None, or a sentence where transformers will not load the folder, and why.
    """
    touched = sorted({path for delta in ledger.deltas for path in delta.paths})
    modules = dict(ledger.model.named_modules())
    kept = {path for delta in ledger.deltas if not delta.fused for path in delta.paths}
    fused = {path: dense(modules[path]) if path in kept else modules[path].weight for path in touched}
    originals = {name: array for file in _files(ledger.base) for name, array in mx.load(str(file)).items()}
    places = find_places(ledger.base, originals, touched)
    config = json.loads((ledger.base / "config.json").read_text(encoding="utf-8"))
    if places is None:
        weights = dict(tree_flatten(ledger.model.parameters()))
        stray = {name for name in weights if name.endswith((".kept_a", ".kept_b"))}
        weights = {name: array for name, array in weights.items() if name not in stray}
        weights |= {f"{path}.weight": array for path, array in fused.items()}
        said = "mlx-lm stores this architecture otherwise than its base does; transformers will not load the folder"
    else:
        weights = _replaced(originals, places, fused, ledger.dtype)
        said = None
    packed = any(name.endswith(".scales") for name in weights)
    if packed:
        said = "the base is quantized as only MLX reads it; transformers will not load the folder"
    elif any(key in config for key in QUANTIZATIONS) and places is not None:
        config = {key: value for key, value in config.items() if key not in QUANTIZATIONS}
    settled(config, touched, weights)
    _save(folder, weights)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for pattern in (*BESIDES, *VOCABULARIES):
        for file in ledger.base.glob(pattern):
            shutil.copy(file, folder / file.name)
    return said


def find_places(base: Path, originals: dict[str, mx.array], paths: list[str]) -> dict[str, list[Place]] | None:
    """Where the base's files hold the weight of each module, expert by expert; None where one is not found whole."""
    pristine = dict(load_model(base, lazy=True)[0].named_modules())
    search = _by_content(originals)
    found: dict[str, list[Place]] = {}
    for path in paths:
        weight, name = pristine[path].weight, f"{path}.weight"
        if name in originals and originals[name].shape == weight.shape and mx.array_equal(originals[name], weight):
            found[path] = [Place(name)]
            continue
        slices = list(weight) if weight.ndim == 3 else [weight]
        names = [search(piece) for piece in slices]
        if any(name is None for name in names):
            return None
        found[path] = [
            Place(name, number if weight.ndim == 3 else None) for number, name in enumerate(names) if name is not None
        ]
    return found


def settled(config: dict[str, Any], touched: list[str], weights: dict[str, mx.array]) -> None:
    """Makes config.json true of the weights, in place: their number type, and which modules are no longer packed."""
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


def _replaced(
    originals: dict[str, mx.array], places: dict[str, list[Place]], fused: dict[str, mx.array], dtype: mx.Dtype
) -> dict[str, mx.array]:
    """The base's tensors with the fused weights in their places, the others in the engine's number type."""
    packed = {name.rpartition(".")[0] for name in originals if name.endswith(".scales")}
    weights = {
        name: array.astype(dtype)
        if mx.issubdtype(array.dtype, mx.floating) and name.rpartition(".")[0] not in packed
        else array
        for name, array in originals.items()
    }
    for path, each in places.items():
        for place in each:
            weights[place.name] = fused[path] if place.expert is None else fused[path][place.expert]
            for ending in PACKED:
                weights.pop(place.name.removesuffix(".weight") + ending, None)
    return weights


def _by_content(originals: dict[str, mx.array]) -> Callable[[mx.array], str | None]:
    """Finds a tensor by its bytes; None where none is the same, or more than one."""
    digests: dict[tuple[int, ...], dict[str, list[str]]] = {}

    def search(piece: mx.array) -> str | None:
        shape = tuple(piece.shape)
        if shape not in digests:
            same: dict[str, list[str]] = {}
            for name, array in originals.items():
                if tuple(array.shape) == shape:
                    same.setdefault(digest(array), []).append(name)
            digests[shape] = same
        names = digests[shape].get(digest(piece), [])
        return names[0] if len(names) == 1 else None

    return search


def _files(base: Path) -> list[Path]:
    return sorted(base.glob("model*.safetensors"))


def _save(folder: Path, weights: dict[str, mx.array]) -> None:
    """The weights in shards, with the index that names them."""
    shards = make_shards(weights)
    listed: dict[str, str] = {}
    size = sum(array.nbytes for array in weights.values())
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        mx.save_safetensors(str(folder / name), shard, {"format": "pt"})
        listed |= dict.fromkeys(shard, name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(listed.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
