"""Typed access to MLX arrays, trees and operations, since MLX's own stubs lack types; copies nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from engine.contract.regular_file import require_regular

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


def number(array: mx.array) -> float:
    """Returns the value of an array with one real element."""
    return cast(float, array.item())


def numbers(array: mx.array) -> list[float]:
    """Returns the values of a one-dimensional array of real numbers."""
    return cast(list[float], array.tolist())


def integers(array: mx.array) -> list[int]:
    """Returns the values of a one-dimensional array of integers."""
    return cast(list[int], array.tolist())


def leaves(tree: object) -> list[tuple[str, mx.array]]:
    """Returns the name and array of every leaf of a tree, such as a model's parameters; names are joined with dots."""
    return cast(list[tuple[str, mx.array]], tree_flatten(tree))


def load_arrays(file: Path) -> dict[str, mx.array]:
    """Returns the arrays of a .safetensors file by name; MLX reads them from the disk when they are used.

    Raises OSError if the path is not a regular file (a pipe, a device, a folder), and any error that mx.load raises.
    """
    require_regular(file)
    return cast(dict[str, mx.array], mx.load(str(file)))


class Operation(Protocol[P, R]):
    """A function with a custom gradient, which its decorator `vjp` defines."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def vjp(self, function: Callable[..., Any]) -> Any: ...


def operation(function: Callable[P, R]) -> Operation[P, R]:
    """Wraps a function with mx.custom_function and keeps its types."""
    return cast(Operation[P, R], mx.custom_function(function))
