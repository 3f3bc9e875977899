"""Computes a digest of each weight, and one fingerprint of the whole model."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import mlx.nn as nn
import xxhash

from engine.adapters import lora
from engine.model.arrays import leaves

THREADS = 4  # for hashing weights; more are not faster, since memory bandwidth is the limit


def frozen_digests(model: nn.Module) -> dict[str, str]:
    """Returns a digest of every parameter outside adapters, under its name in the model without adapters."""
    wrapped = {f"{path}.linear.": f"{path}." for path in lora.adapter_modules(model)}
    arrays = {}
    for name, array in leaves(model.parameters()):
        if name.split(".")[-1] in lora.LEAVES:
            continue
        head = next((inner for inner in lora.parents(name) if inner in wrapped), None)
        arrays[wrapped[head] + name.removeprefix(head) if head else name] = array
    return digests_of(arrays)


def fingerprint(digests: dict[str, str]) -> str:
    """Returns one short hash over digests, independent of their order."""
    whole = xxhash.xxh3_128()
    for name in sorted(digests):
        whole.update(f"{name}={digests[name]};".encode())
    return whole.hexdigest()[:16]


def digest(array: mx.array) -> str:
    """Returns the digest of one array."""
    return digests_of({"": array})[""]


def digests_of(arrays: Mapping[str, mx.array]) -> dict[str, str]:
    """Returns a digest of each array: xxh3 of the bytes, then shape and type.

    xxh3 is fast enough to check every weight. It detects accidents, not attacks.
    """
    flat = [mx.contiguous(array.reshape(-1)) for array in arrays.values()]
    flat = [array.view(mx.uint16) if array.dtype == mx.bfloat16 else array for array in flat]
    mx.eval(flat)
    hashes = [""] * len(flat)

    def hash_every(start: int) -> None:
        for index in range(start, len(flat), THREADS):
            view = memoryview(flat[index])  # type: ignore[arg-type]  # an array is a buffer, which MLX's stub leaves out
            hashes[index] = xxhash.xxh3_128(view).hexdigest()

    with ThreadPoolExecutor(THREADS) as pool:  # hashing releases the GIL
        list(pool.map(hash_every, range(THREADS)))
    named = zip(arrays.items(), hashes, strict=True)
    return {name: f"{found}{array.shape}{array.dtype}" for (name, array), found in named}
