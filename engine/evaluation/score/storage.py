"""Saves and loads a scorer as scorer.json and scorer.safetensors, without pickle.

Run folders may come from strangers, so loading checks every size and number. A file that is too large, damaged or
inconsistent raises InputError.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from xxhash import xxh3_128_hexdigest

from engine.contract.errors import InputError
from engine.contract.regular_file import only_regular
from engine.evaluation.score.parts.closeness import ClosenessScale
from engine.evaluation.score.parts.familiarity import Familiarity
from engine.evaluation.score.parts.health import HealthLimits
from engine.evaluation.score.parts.likelihood import LikelihoodLimits
from engine.evaluation.score.parts.style import FOLDS, TELLING_WORDS, StyleModel
from engine.evaluation.score.parts.style_features import LONGEST_GRAM, MOST_GRAMS, Features
from engine.evaluation.score.parts.void import CopyIndex
from engine.evaluation.score.scorer import Scorer

HEAD, ARRAYS = "scorer.json", "scorer.safetensors"
MOST_BYTES = {HEAD: 32_000_000, ARRAYS: 512_000_000}
MOST_TOPICS = 100_000
LONGEST_NAME = 1_000
LARGEST = 1e6  # largest magnitude that a number may have
Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Gram = Annotated[str, Meta(min_length=1, max_length=LONGEST_GRAM)]
Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
Word = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Fold = Annotated[int, Meta(ge=0, lt=FOLDS)]


class ScorerHead(msgspec.Struct, frozen=True):
    """The content of scorer.json: every part of a scorer but the arrays."""

    version: Literal[2]
    grams: Annotated[tuple[Gram, ...], Meta(min_length=1, max_length=MOST_GRAMS)]
    folds: Annotated[dict[Name, Fold], Meta(max_length=MOST_TOPICS)]
    low: Number
    high: Number
    telling_words: Annotated[tuple[Word, ...], Meta(max_length=TELLING_WORDS)]
    health: HealthLimits
    familiarity: Familiarity | None
    echo: Number
    whole: bool
    closeness: ClosenessScale | None
    likelihood: LikelihoodLimits | None


def save_scorer(scorer: Scorer, folder: Path) -> None:
    """Writes the scorer's two files, each atomically."""
    style = scorer.style
    head = ScorerHead(
        2,
        style.features.grams,
        style.folds,
        style.low,
        style.high,
        style.telling_words,
        scorer.health,
        scorer.familiarity,
        scorer.echo,
        scorer.whole,
        scorer.closeness,
        scorer.likelihood,
    )
    arrays = {
        "frequencies": style.features.frequencies,
        "weights": style.weights,
        "intercepts": style.intercepts,
        "hashes": scorer.copies.hashes,
        "rows": scorer.copies.rows,
    }
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    _write(folder / ARRAYS, data)
    fields = msgspec.to_builtins(head, order="deterministic")
    _write(folder / HEAD, json.dumps(fields | {"digest": _digest(fields, data)}, allow_nan=False).encode())


def load_scorer(folder: Path) -> Scorer:
    """Reads a scorer. Raises InputError with the file and the problem, also if any bit is not as it was written."""
    try:
        head, data = msgspec.json.decode(_read(folder / HEAD)), _read(folder / ARRAYS)
        arrays = load(data)
    except (ValueError, msgspec.DecodeError, RecursionError, SafetensorError) as error:
        raise InputError(f"{folder}: the scorer cannot be read: {error}") from error
    try:
        scorer = _scorer(msgspec.convert(head, ScorerHead), arrays)
        if head.get("digest", "") not in ("", _digest(head, data)):  # older engines wrote no digest
            raise ValueError("it is not as it was written")
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise InputError(f"{folder / HEAD}: the scorer is damaged: {error}") from error
    return scorer


def _digest(head: dict[str, Any], arrays: bytes) -> str:
    """Returns one hash over the other fields of the head and the bytes of the arrays."""
    others = {name: value for name, value in head.items() if name != "digest"}
    return xxh3_128_hexdigest(json.dumps(others, sort_keys=True).encode() + arrays)


def _scorer(head: ScorerHead, arrays: dict[str, NDArray[Any]]) -> Scorer:
    if len(set(head.grams)) != len(head.grams):
        raise ValueError("the n-grams are not unique")
    parts = [item for item in (head.health, head.familiarity, head.closeness, head.likelihood) if item is not None]
    limits = [getattr(part, field.name) for part in parts for field in fields(part)]
    if any(isinstance(limit, float | int) and abs(limit) > LARGEST for limit in limits):
        raise ValueError(f"a limit is above {LARGEST:g}")
    style = StyleModel(
        Features.of(head.grams, _array(arrays, "frequencies", np.float32, (len(head.grams),))),
        _array(arrays, "weights", np.float32, (FOLDS, len(head.grams))),
        _array(arrays, "intercepts", np.float32, (FOLDS,)),
        head.folds,
        head.low,
        head.high,
        head.telling_words,
    )
    hashes = _array(arrays, "hashes", np.uint64, None)
    if (hashes[1:] < hashes[:-1]).any():
        raise ValueError("the hashes are not in order")
    copies = CopyIndex(hashes, _array(arrays, "rows", np.uint32, hashes.shape))
    return Scorer(style, head.health, copies, head.familiarity, head.echo, head.whole, head.closeness, head.likelihood)


def _array(
    arrays: dict[str, NDArray[Any]], name: str, dtype: type[np.generic], shape: tuple[int, ...] | None
) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype != dtype or array.ndim > 2 or (shape is not None and array.shape != shape):
        raise ValueError(f"{name} has {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}")
    if shape is None and array.ndim != 1:
        raise ValueError(f"{name} has {array.ndim} dimensions, expected 1")
    if array.dtype == np.float32 and not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return array


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=only_regular) as file:
            data = file.read(MOST_BYTES[path.name] + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if len(data) > MOST_BYTES[path.name]:
        raise InputError(f"{path}: more than {MOST_BYTES[path.name]:,} bytes")
    return data


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
