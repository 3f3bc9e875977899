"""Lanes: parts of rows that are computed side by side, and the numbers that come out of them."""

import mlx.core as mx
import mlx.nn as nn
import pytest

from engine import lanes
from engine.updates import accumulate


@pytest.mark.parametrize("rows", range(1, 9))
@pytest.mark.parametrize("cores", [1, 2, 3, 64])
def test_every_row_is_in_one_part_and_parts_are_even(rows: int, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_cores", lambda: cores)
    parts = lanes.split(list(range(rows)))
    assert [row for part in parts for row in part] == list(range(rows))
    assert len(parts) == min(rows, cores)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_parts_give_the_gradients_of_the_whole(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_cores", lambda: cores)
    mx.random.seed(3)
    model = nn.Sequential(nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 100))
    x = mx.random.normal((6, 300))

    def loss(rows: mx.array) -> tuple[mx.array]:
        return (model(rows).square().sum(),)

    whole, (expected,) = accumulate(model, loss, [[(x,)]], 6)
    parts, (found,) = accumulate(model, loss, [[(x[mx.array(part)],) for part in lanes.split(list(range(6)))]], 6)
    assert found == pytest.approx(expected, rel=1e-5)
    for a, b in zip(nn.utils.tree_flatten(parts), nn.utils.tree_flatten(whole), strict=True):
        assert mx.allclose(a[1], b[1], rtol=1e-4, atol=1e-4).item()


def test_blas_has_its_threads_back_afterwards() -> None:
    library = lanes._blas()
    if library is None:  # off Linux MLX's products are not OpenBLAS's
        assert lanes.run(mx.square, [(mx.array(2.0),), (mx.array(3.0),)]) is not None
        return
    before = library.openblas_get_num_threads()
    found = lanes.run(mx.square, [(mx.array(2.0),), (mx.array(3.0),)])
    assert [value.item() for value in found] == [4.0, 9.0]
    assert library.openblas_get_num_threads() == before
