"""Log-probabilities and the DPO loss, against numbers that PyTorch and TRL computed and against plain arithmetic."""

import json
import math
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
import tiny
from mlx.utils import tree_flatten

from engine.adapters import lora
from engine.adapters.lora import AdapterSpec
from engine.data.batches import collate
from engine.data.templates.chat_template import Example, Message, Renderer
from engine.model import loading, logprobs
from engine.model.logprobs import Scorer, sum_rows, token_logps
from engine.training.losses import dpo_loss, sft_loss

FIXTURES = Path(__file__).parents[2] / "fixtures"
PROBE = mx.array([[1, 2, 3, 4]])


@pytest.fixture(scope="module")
def fixture() -> dict:
    return json.loads((FIXTURES / "trl_dpo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def smollm():
    return loading.load(loading.locate("smollm2-135m-instruct", print), "float32")


@pytest.fixture(scope="module")
def logps(fixture, smollm) -> dict[str, mx.array]:
    """(rows,) summed log-probabilities of both answers, without and with the fixture's adapter."""
    scorer, found = Scorer(smollm.model, PROBE), {}
    sides = {side: [example(row, side) for row in fixture["rows"]] for side in ("chosen", "rejected")}

    def measure(name: str) -> None:
        for side, examples in sides.items():
            parts = [scorer.row_logps(collate(examples[i : i + 3], 2)) for i in (0, 3)]
            found[f"{name}/{side}"] = mx.concatenate(parts)
        mx.eval(found)

    measure("reference")
    adapter = fixture["adapter"]
    lora.attach(smollm.model, AdapterSpec(adapter["rank"], adapter["scale"], tuple(adapter["targets"]), 0), seed=0)
    lora.load_weights(smollm.model, dict(mx.load(str(FIXTURES / adapter["file"]))))
    smollm.model.eval()
    measure("policy")
    lora.detach(smollm.model)
    return found


def example(row: dict, side: str) -> Example:
    prompt, answer = row["prompt_ids"], row[f"{side}_ids"]
    return Example((*prompt, *answer), len(prompt), len(answer) - 1, False)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return loading.load(tiny.make_model(tmp_path_factory.mktemp("small") / "model"), "float32")


def examples_of(loaded) -> list[Example]:
    renderer = Renderer(loaded.tokenizer)
    rows = [
        ("Where?", "Aye, by the door."),
        ("Who keeps the lamp when the keeper sleeps?", "Nobody."),
        ("Why?", "Nay."),
    ]
    return [renderer.example([Message("user", question)], answer, 256) for question, answer in rows]


def test_the_renderer_makes_the_tokens_that_trl_made(fixture, smollm):
    renderer = Renderer(smollm.tokenizer)
    for row in fixture["rows"]:
        for side in ("chosen", "rejected"):
            made = renderer.example([Message("user", row["prompt"])], row[side], 1024)
            assert made == example(row, side)


@pytest.mark.parametrize("side", ["chosen", "rejected"])
@pytest.mark.parametrize("who", ["policy", "reference"])
def test_log_probabilities_are_those_of_pytorch(fixture, logps, who, side):
    expected = [row[f"{who}_logps"][side] for row in fixture["rows"]]
    assert logps[f"{who}/{side}"].tolist() == pytest.approx(expected, abs=1e-3)


def test_the_dpo_loss_is_that_of_trl(fixture, logps):
    names = ("policy/chosen", "policy/rejected", "reference/chosen", "reference/rejected")
    losses, chosen, rejected = dpo_loss(*(logps[name] for name in names), fixture["beta"])
    for name, values in (("loss", losses), ("rewards/chosen", chosen), ("rewards/rejected", rejected)):
        assert values.tolist() == pytest.approx([row["trl"][name] for row in fixture["rows"]], abs=1e-3)
        assert values.mean().item() == pytest.approx(fixture["batch"][name], abs=1e-3)
    assert max(abs(loss - math.log(2)) for loss in losses.tolist()) > 0.02  # the adapter does make a difference


def test_without_a_change_every_dpo_loss_is_ln_2():
    same = mx.array([-12.5, -300.0]), mx.array([-80.0, -3.0])
    losses, chosen, rejected = dpo_loss(*same, *same, 0.1)
    assert losses.tolist() == pytest.approx([math.log(2)] * 2, abs=1e-6)
    assert chosen.tolist() == rejected.tolist() == [0.0, 0.0]


def test_the_dpo_loss_is_the_formula():
    numbers = (-10.0, -12.0, -11.0, -11.5)
    losses, chosen, rejected = dpo_loss(*(mx.array([number]) for number in numbers), 0.3)
    margin = 0.3 * ((-10.0 + 11.0) - (-12.0 + 11.5))
    assert losses.item() == pytest.approx(-math.log(1 / (1 + math.exp(-margin))), abs=1e-6)
    assert (chosen.item(), rejected.item()) == pytest.approx((0.3, -0.15), abs=1e-6)


def test_the_dpo_loss_stays_finite_and_positive_far_out():
    losses, *_ = dpo_loss(mx.array([1e4, -1e4]), mx.zeros(2), mx.zeros(2), mx.zeros(2), 1.0)
    assert losses.tolist() == pytest.approx([0.0, 1e4])


def test_a_step_down_the_gradient_raises_the_margin(small):
    chosen, rejected = examples_of(small)[0], examples_of(small)[1]
    spec = AdapterSpec(4, 2.0, ("q_proj", "v_proj", "down_proj"), 0)
    lora.attach(small.model, spec, seed=1)
    scorer, batch = Scorer(small.model, PROBE), collate([chosen, rejected], 2)
    before = scorer.row_logps(batch)
    mx.eval(before)

    def loss():
        now = scorer.row_logps(batch)
        return dpo_loss(now[:1], now[1:], before[:1], before[1:], 0.1)[0].sum()

    value, gradients = nn.value_and_grad(small.model, loss)()
    assert value.item() == pytest.approx(math.log(2), abs=1e-6)
    slope = dict(tree_flatten(gradients))
    moved = {name: array - 0.05 * slope[name] for name, array in lora.adapter_weights(small.model).items()}
    lora.load_weights(small.model, moved)
    now = scorer.row_logps(batch)
    margin = ((now - before)[0] - (now - before)[1]).item()
    lora.detach(small.model)
    assert margin > 0.01


def test_padding_and_batch_mates_change_no_log_probability(small):
    examples, scorer = examples_of(small), Scorer(small.model, PROBE)
    alone = [scorer.row_logps(collate([item], 2)).item() for item in examples]
    for batch in (
        collate(examples, 2),
        collate(examples, pad_id=77),
        collate(examples, 2, extra_padding=40),
    ):
        assert scorer.row_logps(batch).tolist() == pytest.approx(alone, rel=1e-5)
    turned = scorer.row_logps(collate(examples[::-1], 2)).tolist()
    assert turned[::-1] == pytest.approx(alone, rel=1e-5)


def test_the_gather_points_at_the_answers_and_their_end_tokens(small):
    examples = examples_of(small)
    batch = collate(examples, pad_id=9)
    flat = batch.tokens.reshape(-1).tolist()
    assert batch.targets.tolist() == [token for item in examples for token in item.ids[item.prompt :]]
    assert [flat[place + 1] for place in batch.gather.tolist()] == batch.targets.tolist()
    assert batch.supervised == sum(item.answer_tokens + 1 for item in examples)
    assert batch.total == sum(len(item.ids) for item in examples)
    assert batch.tokens.shape[1] % 8 == 0


def test_a_head_on_supervised_places_alone_is_the_whole_model(small):
    examples, split = examples_of(small), Scorer(small.model, PROBE)
    batch, whole = collate(examples, 2), Scorer(small.model, PROBE)
    whole._head = None
    assert split.split and not whole.split
    assert split.logps(batch).tolist() == pytest.approx(whole.logps(batch).tolist(), rel=1e-5)
    plain = nn.log_softmax(small.model(batch.tokens), axis=-1).reshape(-1, tiny.VOCABULARY)
    expected = plain[batch.gather, batch.targets]
    assert split.logps(batch).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_a_model_that_does_more_between_body_and_head_is_used_whole(small):
    class Capped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.model, self.inner = inner.model, inner

        def __call__(self, tokens):
            return 0.1 * mx.tanh(self.inner(tokens))

    scorer, batch = Scorer(Capped(small.model), PROBE), collate(examples_of(small), 2)
    assert not scorer.split
    plain = nn.log_softmax(0.1 * mx.tanh(small.model(batch.tokens)), axis=-1).reshape(-1, tiny.VOCABULARY)
    assert scorer.logps(batch).tolist() == pytest.approx(plain[batch.gather, batch.targets].tolist(), rel=1e-4)


@pytest.mark.parametrize("width", [5, 256, 1000])
def test_token_logps_and_their_gradient_are_those_of_log_softmax(width):
    logits = 4 * mx.random.normal((3, width), key=mx.random.key(3))
    targets, weights = mx.array([0, width - 1, 2]), mx.array([1.0, -2.0, 0.5])

    def plain(logits):
        picked = mx.take_along_axis(nn.log_softmax(logits, axis=-1), targets[:, None], axis=1)[:, 0]
        return (picked * weights).sum()

    ours, our_slope = mx.value_and_grad(lambda logits: (token_logps(logits, targets) * weights).sum())(logits)
    theirs, their_slope = mx.value_and_grad(plain)(logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert mx.abs(our_slope - their_slope).max().item() < 1e-5


@pytest.mark.parametrize("positions", [1, 3, 64])
def test_logits_made_piece_by_piece_give_the_same_numbers_and_gradients(small, monkeypatch, positions):
    monkeypatch.setattr(logprobs, "POSITIONS", positions)
    scorer, batch = Scorer(small.model, PROBE), collate(examples_of(small), 2)
    weights = mx.random.normal((batch.supervised,), key=mx.random.key(5))
    lora.attach(small.model, AdapterSpec(4, 2.0, ("q_proj", "down_proj"), 0), seed=1)

    def measure(learning):
        return nn.value_and_grad(small.model, lambda: (scorer.logps(batch, learning=learning) * weights).sum())()

    (plain, slopes), (pieced, pieced_slopes) = measure(False), measure(True)
    lora.detach(small.model)
    assert pieced.item() == pytest.approx(plain.item(), rel=1e-5)
    flat, other = dict(tree_flatten(slopes)), dict(tree_flatten(pieced_slopes))
    assert flat.keys() == other.keys()
    assert max(mx.abs(array).max().item() for array in flat.values()) > 0.01
    assert all(mx.allclose(flat[name], other[name], rtol=1e-4, atol=1e-5).item() for name in flat)


def test_rows_are_summed_and_the_sft_loss_is_a_sum(small):
    batch = collate(examples_of(small), 2)
    ones = sum_rows(mx.ones(batch.supervised), batch)
    assert ones.tolist() == [item.supervised for item in examples_of(small)]
    assert sft_loss(mx.array([-1.0, -2.5])).item() == 3.5
