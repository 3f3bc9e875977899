"""Steps are those that were planned, from batches that follow from a seed and a number."""

import math
from collections import Counter

import mlx.core as mx
import mlx.nn as nn
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from engine.contract.settings.config import SftConfig
from engine.data.batches import batch_rows, plan_epochs, plan_steps
from engine.training.optimizer import Updater, accumulate, learning_rate

KEY = mx.random.key(11)
ROWS = mx.random.normal((11, 4), key=KEY)
WANTED = ROWS @ mx.array([[1.0], [-2.0], [0.5], [3.0]])


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = 0.1 * mx.ones((4, 1))

    def __call__(self, x: mx.array) -> mx.array:
        return x @ self.weight


def errors(model: Line):
    def loss(rows: mx.array) -> tuple[mx.array, mx.array]:
        off = model(ROWS[rows]) - WANTED[rows]
        return off.square().sum(), off.sum()

    return loss


def gradient(model: Line, batches: list[list[int]], count: int) -> tuple[mx.array, list[float]]:
    gradients, values = accumulate(model, errors(model), [[(mx.array(rows),)] for rows in batches], count)
    return gradients["weight"], values


def test_unequal_micro_batches_weigh_what_they_hold():
    model = Line()
    whole, means = gradient(model, [list(range(11))], 11)
    parts, part_means = gradient(model, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10]], 11)
    assert parts.reshape(-1).tolist() == pytest.approx(whole.reshape(-1).tolist(), rel=1e-5)
    assert part_means == pytest.approx(means, rel=1e-5)
    off = model(ROWS) - WANTED
    assert means[0] == pytest.approx(off.square().mean().item(), rel=1e-5)
    assert whole.reshape(-1).tolist() == pytest.approx((2 / 11 * ROWS.T @ off).reshape(-1).tolist(), rel=1e-4)


@pytest.mark.parametrize("accumulation", [1, 2, 3, 4, 100])
def test_the_remainder_of_an_accumulation_is_a_step_of_its_own(accumulation):
    plan = plan_epochs(rows=11, batch=4, accumulation=accumulation, epochs=2)
    assert (plan.micro_batches, plan.steps) == (6, math.ceil(6 / accumulation))
    cursors = [cursor for step in range(plan.steps) for cursor in plan.of_step(step)]
    assert cursors == list(range(6))
    model, updater = Line(), Updater(SftConfig(learning_rate=0.1), plan.steps)
    seen: Counter[int] = Counter()
    for step in range(plan.steps):
        batches = [batch_rows(plan, [1] * 11, "s", cursor) for cursor in plan.of_step(step)]
        seen.update(row for rows in batches for row in rows)
        before = model.weight
        gradients, (loss, _) = accumulate(
            model, errors(model), [[(mx.array(rows),)] for rows in batches], sum(map(len, batches))
        )
        assert updater.apply(model, gradients, loss, step).applied
        assert not mx.array_equal(before, model.weight).item()
    assert updater.optimizer.step.item() == plan.steps >= 1
    assert seen == Counter({row: 2 for row in range(11)})


def test_accumulated_steps_are_the_steps_of_one_big_batch():
    small, big = Line(), Line()
    settings = SftConfig(learning_rate=0.05)
    updaters = Updater(settings, 3), Updater(settings, 3)
    for step in range(3):
        parts, values = accumulate(small, errors(small), [[(mx.array(r),)] for r in ([0, 1, 2], [3, 4, 5], [6])], 7)
        updaters[0].apply(small, parts, values[0], step)
        whole, values = accumulate(big, errors(big), [[(mx.array(list(range(7))),)]], 7)
        updaters[1].apply(big, whole, values[0], step)
    assert small.weight.reshape(-1).tolist() == pytest.approx(big.weight.reshape(-1).tolist(), rel=1e-4)


@given(steps=st.integers(1, 200), warmup=st.floats(0, 1), peak=st.floats(1e-8, 10))
def test_the_step_size_rises_to_its_peak_and_falls_but_never_to_nothing(steps, warmup, peak):
    rates = [learning_rate(step, steps, peak, warmup) for step in range(steps)]
    rising = math.ceil(warmup * steps)
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    assert max(rates) == pytest.approx(peak)
    assert rates[:rising] == sorted(rates[:rising]) and rates[rising:] == sorted(rates[rising:], reverse=True)


def test_the_step_size_of_each_step_is_used_and_reported():
    settings = SftConfig(learning_rate=0.4, warmup=0.5, clip=0.0)
    model, updater = Line(), Updater(settings, 4)
    for step, expected in enumerate((0.2, 0.4, 0.4, 0.2)):
        before = model.weight
        update = updater.apply(model, {"weight": mx.ones((4, 1))}, 1.0, step)
        assert update.lr == pytest.approx(expected)
        moved = (before - model.weight).reshape(-1).tolist()
        assert moved == pytest.approx([expected] * 4, rel=1e-3)  # Adam moves by its step size where the slope is steady


def test_gradients_are_clipped_by_their_norm_as_a_whole_and_the_norm_is_reported_unclipped():
    gradients = {"weight": mx.array([[30.0], [0.0], [-40.0], [0.0]])}

    def state_after(clip: float, scale: float) -> tuple[float, list[float]]:
        model, updater = Line(), Updater(SftConfig(clip=clip), 2)
        update = updater.apply(model, {"weight": scale * gradients["weight"]}, 1.0, 0)
        state = dict(tree_flatten(updater.optimizer.state))
        return update.grad_norm, state["weight.m"].reshape(-1).tolist()

    norm, clipped = state_after(1.0, 1.0)
    assert norm == pytest.approx(50.0)
    assert clipped == pytest.approx([0.06, 0.0, -0.08, 0.0], rel=1e-4)  # a tenth, of a vector of length 1
    assert state_after(0.0, 1.0)[1] == pytest.approx([3.0, 0.0, -4.0, 0.0], rel=1e-4)
    assert state_after(1.0, 0.01)[1] == pytest.approx([0.03, 0.0, -0.04, 0.0], rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "element"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (-math.inf, -math.inf)]
)
def test_a_step_that_is_not_finite_changes_nothing(loss, element):
    model, updater = Line(), Updater(SftConfig(), 3)
    updater.apply(model, {"weight": mx.ones((4, 1))}, 1.0, 0)
    weight, state = model.weight, dict(tree_flatten(updater.optimizer.state))
    update = updater.apply(model, {"weight": mx.array([[element], [1.0], [1.0], [1.0]])}, loss, 1)
    assert not update.applied
    assert mx.array_equal(model.weight, weight).item()
    for name, array in tree_flatten(updater.optimizer.state):
        assert mx.array_equal(array, state[name]).item(), name
    assert updater.optimizer.step.item() == 1


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=25), batch=st.integers(1, 7), seed=st.text(max_size=5))
def test_each_row_comes_once_an_epoch_and_batches_follow_from_seed_and_cursor(lengths, batch, seed):
    plan = plan_epochs(len(lengths), batch, 2, 3)
    each = plan.micro_batches // 3
    cursors = list(range(plan.micro_batches))
    forward = [batch_rows(plan, lengths, seed, cursor) for cursor in cursors]
    backward = [batch_rows(plan, lengths, seed, cursor) for cursor in reversed(cursors)]
    assert forward == backward[::-1]
    for epoch in range(3):
        rows = [row for rows in forward[epoch * each : (epoch + 1) * each] for row in rows]
        assert sorted(rows) == list(range(len(lengths)))
    assert all(1 <= len(rows) <= batch for rows in forward)


def test_rows_of_like_length_go_together_in_an_order_that_depends_on_seed_and_epoch():
    lengths = [5, 90, 6, 91, 7, 92, 50, 51]
    plan = plan_epochs(8, 2, 1, 2)
    groups = [batch_rows(plan, lengths, "a", cursor) for cursor in range(plan.micro_batches)]
    assert sorted(map(sorted, groups[:4])) == [[0, 2], [1, 7], [3, 5], [4, 6]]
    orders = {str([batch_rows(plan, lengths, seed, cursor) for cursor in range(4)]) for seed in "abcdefgh"}
    assert len(orders) > 3


def test_so_many_steps_go_over_the_rows_again_and_again():
    plan = plan_steps(rows=3, batch=2, accumulation=2, steps=5)
    assert (plan.steps, plan.micro_batches) == (5, 10)
    rows = Counter(row for step in range(5) for c in plan.of_step(step) for row in batch_rows(plan, [1, 2, 3], "", c))
    assert rows == Counter({0: 5, 1: 5, 2: 5})
