"""Splits a micro-batch into lanes: one part per CPU core, each on a separate MLX stream.

MLX uses only one core for every operation that is not a matrix product. With one part and one BLAS thread per core, all
cores are busy from the first operation to the last.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, Self, TypeVar

import mlx.core as mx

from engine.model import backend

S = TypeVar("S")
T = TypeVar("T")
TRIED = 4  # steps timed with all BLAS threads, and again with one


def split(rows: list[T]) -> list[list[T]]:
    """Splits the rows into contiguous parts of nearly equal size: one per core on the CPU, a single one on a GPU."""
    parts = min(len(rows), _lanes())
    ends = [len(rows) * number // parts for number in range(parts + 1)]
    return [rows[start:end] for start, end in pairwise(ends)]


def run(function: Callable[..., T], parts: Sequence[tuple[Any, ...]]) -> list[T]:
    """Returns the result of `function` for each part, evaluated in parallel if there are lanes."""
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
    """Returns the result of `function` for each item, evaluated in parallel with one item per lane."""
    found: list[T] = []
    for start in range(0, len(items), _lanes()):
        found += run(function, [(item,) for item in items[start : start + _lanes()]])
    return found


class ThreadChoice:
    """Chooses the BLAS threads for many small steps, such as decoding: times all threads and one, uses the faster.

    Threads wait for each other at each product. If another program holds the core of one thread, the others wait for
    that program's whole time slice. OpenBLAS divides rows and columns among threads, never a sum, so the number of
    threads does not change a single bit of the result.
    """

    crowded = False  # true if one thread was faster the last time; one thread is then timed first

    def __init__(self) -> None:
        self._library = _blas()
        self._all: int = self._library.openblas_get_num_threads() if self._library is not None else 1
        self._first = 1 if ThreadChoice.crowded else self._all
        self._other = self._all if ThreadChoice.crowded else 1
        self._settled = self._all == 1
        self._seconds: list[float] = []  # of the steps that were tried

    def __enter__(self) -> Self:
        self._use(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self._use(self._all)

    def step(self, function: Callable[[], T]) -> T:
        """Returns the result of `function`; its duration helps to choose the number of threads for later steps."""
        started = time.perf_counter()
        found = function()
        if not self._settled:
            self._seconds.append(time.perf_counter() - started)
            self._choose()
        return found

    def _choose(self) -> None:
        first, other = self._seconds[1:TRIED], self._seconds[TRIED + 1 :]  # the first step of each has more work
        if len(self._seconds) == TRIED:
            self._use(self._other)
        elif other and (len(other) == len(first) or min(other) > 2 * min(first)):
            self._settled = True
            chosen = self._other if min(other) < min(first) else self._first
            ThreadChoice.crowded = chosen == 1
            self._use(chosen)

    def _use(self, threads: int) -> None:
        if self._library is not None:
            self._library.openblas_set_num_threads(threads)


def _lanes() -> int:
    return _cores() if mx.default_device().type == mx.DeviceType.cpu else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _streams(count: int) -> list[mx.Stream]:
    return [mx.new_stream(mx.default_device()) for _ in range(count)]


@contextmanager
def _blas_threads(count: int) -> Iterator[None]:
    """Sets OpenBLAS to `count` threads inside the context, if MLX uses OpenBLAS."""
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
