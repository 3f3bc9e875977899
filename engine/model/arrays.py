"""MLX arrays, trees and operations with the types that MLX's own stubs leave open; no conversion, no copy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from engine.contract.regular_file import require_regular

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


def number(array: mx.array) -> float:
    """The value of an array of one real element."""
    return cast(float, array.item())


def numbers(array: mx.array) -> list[float]:
    """The values of a one-dimensional array of real numbers."""
    return cast(list[float], array.tolist())


def integers(array: mx.array) -> list[int]:
    """The values of a one-dimensional array of integers."""
    return cast(list[int], array.tolist())


def leaves(tree: object) -> list[tuple[str, mx.array]]:
    """Name and array of every leaf of a tree, such as a model's parameters; names are joined with dots."""
    return cast(list[tuple[str, mx.array]], tree_flatten(tree))


def load_arrays(file: Path) -> dict[str, mx.array]:
    """The arrays of a .safetensors file by name, read from the disk when they are used; raises as mx.load does.

    Raises OSError if something else is in the place of the file: a pipe, a device, a folder.
    """
    require_regular(file)
    return cast(dict[str, mx.array], mx.load(str(file)))


class Operation(Protocol[P, R]):
    """A function with a gradient of its own, which the decorator `vjp` gives it."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def vjp(self, function: Callable[..., Any]) -> Any: ...


def operation(function: Callable[P, R]) -> Operation[P, R]:
    """mx.custom_function with the function's own types."""
    return cast(Operation[P, R], mx.custom_function(function))
