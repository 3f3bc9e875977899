"""Names what a model folder is, if it is no whole model: an adapter, Git LFS pointers, missing files, odd weights."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.contract.errors import InputError
from engine.contract.regular_file import read_text
from engine.contract.wording import short
from engine.model.arrays import leaves

LFS = b"version https://git-lfs"
UNREAD_METHODS = ("bitsandbytes", "aqlm", "hqq", "eetq", "quanto", "torchao", "vptq", "spqr", "higgs")
NAMES = 4  # names that a sentence lists
LEARNED = ("n_positions", "n_ctx")  # keys of models with a table of positions (GPT-2 and its kin)
ROTARY = "max_position_embeddings"


def several_names(names: Sequence[str]) -> str:
    """Returns the first names of a list, and how many more there are."""
    rest = len(names) - NAMES
    return ", ".join(names[:NAMES]) + (f" and {rest} more" if rest > 0 else "")


def reason(error: Exception) -> str:
    """Returns a library's error as one line: its first line, and the first of the names below it."""
    lines = [line.strip(" ,.\t") for line in str(error).splitlines() if line.strip(" ,.\t")]
    if not lines:
        return type(error).__name__
    head, names = lines[0].rstrip(":"), lines[1:]
    return f"{head}: {several_names(names)}" if names else head


def require_no_adapter(folder: Path) -> None:
    """Raises InputError if the folder holds an adapter and no weights of a model."""
    if (folder / "adapter_config.json").exists() and not next(folder.glob("model*.safetensors"), None):
        raise InputError(
            f"The model folder {folder} is an adapter, not a model: it has adapter_config.json but no weights of a "
            f"base{_base_of(folder)}."
        )


def require_whole_folder(folder: Path, config: dict[str, Any]) -> None:
    """Raises InputError for Git LFS pointers, missing shards, or weights that another program packed."""
    for file in sorted(folder.glob("model*.safetensors")):
        with open(file, "rb") as stream:
            if stream.read(len(LFS)) == LFS:
                raise InputError(
                    f"The model folder {folder} is not complete: {file.name} is a Git LFS pointer of "
                    f"{file.stat().st_size} bytes, not the weights; git lfs pull fetches them."
                )
    if missing := [name for name in _shards(folder) if not (folder / name).exists()]:
        raise InputError(
            f"The model folder {folder} is not complete: model.safetensors.index.json names "
            f"{several_names(missing)}, which {'is' if len(missing) == 1 else 'are'} not there."
        )
    method = _method(config)
    if method in UNREAD_METHODS:
        raise InputError(
            f"The model folder {folder} is refused: its weights are packed by {method}, which MLX does not read; take "
            "the model as it was before, or one that mlx-lm has converted."
        )


def packed_by(config: dict[str, Any]) -> str:
    """Returns the words of an error about a model that another program packed; empty for a model of plain weights."""
    method = _method(config)
    return f" (its weights are packed by {method})" if method and "quantization" not in config else ""


def _method(config: dict[str, Any]) -> str:
    found = config.get("quantization_config")
    return str(found.get("quant_method", "")).lower() if isinstance(found, dict) else ""


def _base_of(folder: Path) -> str:
    try:
        base = json.loads(read_text(folder / "adapter_config.json")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return f" (it was made for {short(base)})" if base else ""


def _shards(folder: Path) -> list[str]:
    """Returns the names of the weight files that the index of a model lists; none without an index."""
    try:
        listed = json.loads(read_text(folder / "model.safetensors.index.json"))["weight_map"]
        return sorted({name for name in listed.values() if isinstance(name, str) and "/" not in name})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def require_sound(model: nn.Module, tokenizer: Any, path: Path) -> None:
    """Raises InputError for weights that are not finite, a head that is lost, or tokens beyond the embedding."""
    if bad := [name for name, array in leaves(model.parameters()) if not _finite(array)]:
        raise InputError(f"The model in {path} is damaged: not all numbers are finite in {several_names(bad)}.")
    if lost := _lost_head(model, path):
        raise InputError(
            f"The model in {path} has a head of its own ({lost}), but its config.json ties the head to the embedding; "
            "set tie_word_embeddings to false there if the head is meant."
        )
    rows = _embedding_rows(model)
    if rows and (beyond := [token for token, id in _vocabulary(tokenizer) if id >= rows]):
        raise InputError(
            f"The model in {path} has an embedding of {rows:,} tokens, and its tokenizer has tokens beyond it: "
            f"{several_names([repr(token) for token in beyond])}."
        )


def _finite(array: mx.array) -> bool:
    return not mx.issubdtype(array.dtype, mx.floating) or bool(mx.isfinite(array).all().item())


def _lost_head(model: nn.Module, path: Path) -> str:
    """Returns the name of a head in the files that the model has left out and that differs from its embedding."""
    if any(name.endswith("lm_head.weight") for name, _ in leaves(model.parameters())):
        return ""
    found: dict[str, mx.array] = {}
    for file in path.glob("model*.safetensors"):
        loaded: dict[str, mx.array] = mx.load(str(file))  # type: ignore[assignment]  # a safetensors file is a mapping
        found |= {name: array for name, array in loaded.items() if name.endswith(("lm_head.weight", "wte.weight"))}
        found |= {name: array for name, array in loaded.items() if name.endswith("embed_tokens.weight")}
    head = next((name for name in found if name.endswith("lm_head.weight")), "")
    table = next((array for name, array in found.items() if not name.endswith("lm_head.weight")), None)
    if not head or table is None or (found[head].shape == table.shape and mx.array_equal(found[head], table).item()):
        return ""
    return head


def _embedding_rows(model: nn.Module) -> int:
    """Returns the number of tokens that the model's embedding has; 0 if none is found by its name."""
    names = ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings")
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in names and "weight" in module:
            return int(module.weight.shape[0])
    return 0


def _vocabulary(tokenizer: Any) -> Iterator[tuple[str, int]]:
    vocabulary = tokenizer.get_vocab()
    return iter(sorted(vocabulary.items(), key=lambda item: int(item[1])))


def position_limit(config: dict[str, Any]) -> tuple[int, bool]:
    """Returns the most tokens that a model can see by its config.json, 0 if unknown, and whether positions are learned.

    Positions behind a learned table do not exist; a rotary model computes them, but was not made for them.
    """
    text = config.get("text_config")
    for key in (*LEARNED, ROTARY):
        for section in (config, text if isinstance(text, dict) else {}):
            value = section.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value, key in LEARNED and config.get("model_type") in ("gpt2", "gpt_bigcode", "openai-gpt")
    return 0, False
