"""Saves and loads a scorer as scorer.json and scorer.safetensors, without pickle.

Run folders may come from strangers, so loading checks every size and number. A file that is too large, damaged or
inconsistent raises InputError.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.contract.errors import InputError
from engine.contract.regular_file import only_regular
from engine.evaluation.score.closeness import ClosenessScale
from engine.evaluation.score.familiarity import MOST_TRIPLES, SIZE, Familiarity
from engine.evaluation.score.health import HealthLimits
from engine.evaluation.score.likelihood import LikelihoodLimits
from engine.evaluation.score.scorer import Scorer
from engine.evaluation.score.style import FOLDS, TELLING_WORDS, StyleModel
from engine.evaluation.score.style_features import LONGEST_GRAM, MOST_GRAMS, Features
from engine.evaluation.score.void import CopyIndex

HEAD, ARRAYS = "scorer.json", "scorer.safetensors"
VERSION = 1
MOST_BYTES = {HEAD: 32_000_000, ARRAYS: 512_000_000}
MOST_TOPICS = 100_000
LONGEST_NAME = 1_000
LARGEST = 1e6  # largest magnitude that a number may have


def save_scorer(scorer: Scorer, folder: Path) -> None:
    """Writes the scorer's two files, each atomically."""
    style = scorer.style
    head = {
        "version": VERSION,
        "grams": list(style.features.grams),
        "folds": style.folds,
        "low": style.low,
        "high": style.high,
        "telling_words": list(style.telling_words),
        "health": asdict(scorer.health),
        "familiarity": _familiarity_head(scorer.familiarity),
        "echo": scorer.echo,
        "whole": scorer.whole,
        "closeness": asdict(scorer.closeness) if scorer.closeness else None,
        "likelihood": asdict(scorer.likelihood) if scorer.likelihood else None,
    }
    arrays = {
        "frequencies": style.features.frequencies,
        "weights": style.weights,
        "intercepts": style.intercepts,
        "hashes": scorer.copies.hashes,
        "rows": scorer.copies.rows,
    }
    _write(folder / ARRAYS, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    _write(folder / HEAD, json.dumps(head, ensure_ascii=True, allow_nan=False).encode())


def load_scorer(folder: Path) -> Scorer:
    """Reads a scorer. Raises InputError with the file and the problem."""
    try:
        head = json.loads(_read(folder / HEAD))
        arrays = load(_read(folder / ARRAYS))
    except (ValueError, RecursionError, SafetensorError) as error:
        raise InputError(f"{folder}: the scorer cannot be read: {error}") from error
    try:
        return _scorer(head, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / HEAD}: the scorer is damaged: {error!r}") from error


def _scorer(head: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Scorer:
    if not isinstance(head, dict) or head["version"] != VERSION:
        raise ValueError(f"expected version {VERSION}")
    grams = _strings(head["grams"], MOST_GRAMS, LONGEST_GRAM)
    if len(set(grams)) != len(grams) or not grams:
        raise ValueError("the n-grams are not unique, or there are none")
    folds = {str(topic)[:LONGEST_NAME]: _whole(fold, FOLDS - 1) for topic, fold in head["folds"].items()}
    if len(folds) > MOST_TOPICS:
        raise ValueError("too many topics")
    style = StyleModel(
        Features.of(grams, _array(arrays, "frequencies", np.float32, (len(grams),))),
        _array(arrays, "weights", np.float32, (FOLDS, len(grams))),
        _array(arrays, "intercepts", np.float32, (FOLDS,)),
        folds,
        _number(head["low"]),
        _number(head["high"]),
        tuple(_strings(head["telling_words"], TELLING_WORDS, LONGEST_NAME)),
    )
    hashes = _array(arrays, "hashes", np.uint64, None)
    if (hashes[1:] < hashes[:-1]).any():
        raise ValueError("the hashes are not in order")
    rows = _array(arrays, "rows", np.uint32, hashes.shape)
    closeness, likelihood = head["closeness"], head["likelihood"]
    return Scorer(
        style,
        HealthLimits(**_numbers(head["health"], "pairs", "word", "distinct")),
        CopyIndex(hashes, rows),
        _familiarity(head["familiarity"]),
        _number(head["echo"]),
        _truth(head["whole"]),
        None
        if closeness is None
        else ClosenessScale(
            **_numbers(closeness, "ceiling", "span", "misplaced"), from_pairs=_truth(closeness["from_pairs"])
        ),
        None
        if likelihood is None
        else LikelihoodLimits(
            **_numbers(likelihood, "per_word", "per_word_sigma", "end", "end_sigma"),
            words=_whole(likelihood["words"], 1_000_000),
        ),
    )


def _familiarity_head(familiarity: Familiarity | None) -> dict[str, Any] | None:
    return asdict(familiarity) | {"triples": sorted(familiarity.triples)} if familiarity else None


def _familiarity(head: dict[str, Any] | None) -> Familiarity | None:
    if head is None:
        return None
    triples = frozenset(_strings(head["triples"], MOST_TRIPLES, SIZE))
    letters = _whole(head["letters"], 1_000_000)
    return Familiarity(triples, **_numbers(head, "median", "sigma"), letters=letters)


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


def _strings(value: Any, most: int, longest: int) -> list[str]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"expected at most {most} texts")
    if not all(isinstance(item, str) and 0 < len(item) <= longest for item in value):
        raise ValueError(f"expected texts of 1 to {longest} characters")
    return value


def _numbers(value: Any, *names: str) -> dict[str, float]:
    return {name: _number(value[name]) for name in names}


def _number(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or abs(value) > LARGEST
    ):
        raise ValueError(f"{value!r} is no number up to {LARGEST:g}")
    return float(value)


def _whole(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no whole number from 0 to {most}")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


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
