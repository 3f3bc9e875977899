"""Lanes: parts of rows that are computed side by side, and the numbers that come out of them."""

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import pytest

from engine.model import cpu_lanes
from engine.training.optimizer import accumulate


@pytest.mark.parametrize("rows", range(1, 9))
@pytest.mark.parametrize("wide", [1, 2, 3, 64])
def test_every_row_is_in_one_part_and_parts_are_even(rows: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_lanes, "_lanes", lambda: wide)
    parts = cpu_lanes.split(list(range(rows)))
    assert [row for part in parts for row in part] == list(range(rows))
    assert len(parts) == min(rows, wide)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("kind", "wide"), [(mx.DeviceType.cpu, 3), (mx.DeviceType.gpu, 1)])
def test_there_is_a_lane_for_each_core_and_one_on_a_gpu(
    kind: mx.DeviceType, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_lanes, "_cores", lambda: 3)
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(kind))
    assert cpu_lanes._lanes() == wide


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_parts_give_the_gradients_of_the_whole(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_lanes, "_cores", lambda: cores)
    mx.random.seed(3)
    model = nn.Sequential(nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 100))
    x = mx.random.normal((6, 300))

    def loss(rows: mx.array) -> tuple[mx.array]:
        return (model(rows).square().sum(),)

    whole, (expected,) = accumulate(model, loss, [[(x,)]], 6)
    parts, (found,) = accumulate(model, loss, [[(x[mx.array(part)],) for part in cpu_lanes.split(list(range(6)))]], 6)
    assert found == pytest.approx(expected, rel=1e-5)
    for a, b in zip(nn.utils.tree_flatten(parts), nn.utils.tree_flatten(whole), strict=True):
        assert mx.allclose(a[1], b[1], rtol=1e-4, atol=1e-4).item()


def test_blas_has_its_threads_back_afterwards() -> None:
    library = cpu_lanes._blas()
    if library is None:  # off Linux MLX's products are not OpenBLAS's
        assert cpu_lanes.run(mx.square, [(mx.array(2.0),), (mx.array(3.0),)]) is not None
        return
    before = library.openblas_get_num_threads()
    found = cpu_lanes.run(mx.square, [(mx.array(2.0),), (mx.array(3.0),)])
    assert [value.item() for value in found] == [4.0, 9.0]
    assert library.openblas_get_num_threads() == before


class Library:
    """OpenBLAS as far as Pace knows it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def openblas_get_num_threads(self) -> int:
        return self.threads

    def openblas_set_num_threads(self, threads: int) -> None:
        self.threads = threads


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[Library, dict[int, float]], list[int]]:
    """Takes twenty steps that last as long as is said for a number of threads; returns the threads that they had."""
    now = [0.0]
    monkeypatch.setattr(cpu_lanes.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(cpu_lanes.ThreadChoice, "crowded", False)

    def decode(library: Library, seconds: dict[int, float]) -> list[int]:
        used: list[int] = []

        def step() -> int:
            used.append(library.threads)
            now[0] += seconds[library.threads] * (10 if len(used) == 1 else 1)  # the first one reads the prompts
            return len(used)

        monkeypatch.setattr(cpu_lanes, "_blas", lambda: library)
        before = library.threads
        with cpu_lanes.ThreadChoice() as pace:
            assert [pace.step(step) for _ in range(20)] == list(range(1, 21))
        assert library.threads == before
        return used

    return decode


QUIET, CROWDED = {2: 0.05, 1: 0.06}, {2: 1.0, 1: 0.14}


def test_steps_get_the_threads_that_were_faster(decoding: Callable[[Library, dict[int, float]], list[int]]) -> None:
    library, tried = Library(2), cpu_lanes.TRIED
    assert decoding(library, QUIET) == [2] * tried + [1] * tried + [2] * (20 - 2 * tried)
    assert decoding(library, CROWDED) == [2] * tried + [1] * (20 - tried)
    assert decoding(library, CROWDED) == [1] * tried + [2] * 2 + [1] * (18 - tried), (
        "what is far slower is left at once"
    )
    assert decoding(library, QUIET) == [1] * tried + [2] * (20 - tried), "the other program has ended"
    assert decoding(library, QUIET)[:tried] == [2] * tried
    assert decoding(Library(1), {1: 0.05}) == [1] * 20


@pytest.mark.parametrize("rows", [1, 3, 4, 33])
@pytest.mark.parametrize(("inside", "out"), [(576, 1536), (575, 1537), (64, 192)])
def test_a_product_is_the_same_bits_with_one_thread_and_with_all(rows: int, inside: int, out: int) -> None:
    a, b = (mx.random.normal(shape, key=mx.random.key(3)) for shape in ((rows, inside), (out, inside)))
    if cpu_lanes._blas() is None:
        pytest.skip("off Linux MLX's products are not OpenBLAS's")
    every = a @ b.T
    mx.eval(every)
    with cpu_lanes._blas_threads(1):
        one = a @ b.T
        mx.eval(one)
    assert mx.array_equal(every, one).item()
