"""Lanes: the rows of a micro-batch in as many parts as there are cores, each on an MLX stream of its own.

MLX computes whatever is not a matrix product on one core. A part for each core, with one BLAS thread each, keeps all of
them at work from the first operation to the last.
"""

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import mlx.core as mx

from engine import backend

S, T = TypeVar("S"), TypeVar("T")


def split(rows: Sequence[T]) -> list[Sequence[T]]:
    """The rows in contiguous parts, as even as can be: one a core on the CPU, one in all elsewhere."""
    parts = min(len(rows), _lanes())
    ends = [len(rows) * number // parts for number in range(parts + 1)]
    return [rows[start:end] for start, end in pairwise(ends)]


def run(function: Callable[..., T], parts: Sequence[tuple[Any, ...]]) -> list[T]:
    """What `function` returns for each part, evaluated side by side where there are lanes."""
    if len(parts) == 1 or _lanes() == 1:
        found = [function(*part) for part in parts]
        mx.eval(found)
        return found
    found = []
    for stream, part in zip(_streams(len(parts)), parts, strict=True):
        with mx.stream(stream):
            found.append(function(*part))
    with _blas_threads(max(1, _cores() // len(parts))):
        mx.eval(found)
    return found


def each(function: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """What `function` returns for each item, evaluated side by side, as many at a time as there are lanes."""
    found: list[T] = []
    for start in range(0, len(items), _lanes()):
        found += run(function, [(item,) for item in items[start : start + _lanes()]])
    return found


def _lanes() -> int:
    return _cores() if mx.default_device().type == mx.DeviceType.cpu else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _streams(count: int) -> list[mx.Stream]:
    return [mx.new_stream(mx.default_device()) for _ in range(count)]


@contextmanager
def _blas_threads(count: int) -> Iterator[None]:
    """OpenBLAS with so many threads, where MLX takes its products from it."""
    library = _blas()
    if library is None:
        yield
        return
    before = library.openblas_get_num_threads()
    library.openblas_set_num_threads(count)
    try:
        yield
    finally:
        library.openblas_set_num_threads(before)


@cache
def _blas() -> ctypes.CDLL | None:
    library = backend.find_blas()
    return ctypes.CDLL(str(library)) if library is not None and backend.prepare().blas else None
