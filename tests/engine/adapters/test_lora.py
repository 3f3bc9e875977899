"""Adapters stand on exactly the modules that were asked for, and leave no trace."""

import mlx.core as mx
import mlx.nn as nn
import pytest
import tiny
from mlx.utils import tree_flatten
from mlx_lm.models import qwen2
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear
from mlx_lm.tuner.utils import linear_to_lora_layers

from engine.adapters import fingerprint, lora
from engine.adapters.lora import AdapterSpec
from engine.contract.errors import InputError
from engine.model import loading
from engine.rules.enforce import Broken

ATTENTION = AdapterSpec(8, 2.0, ("q_proj", "v_proj", "o_proj"), 0)
MIXED = AdapterSpec(1, 1.0, ("o_proj", "v_proj", "up_proj", "down_proj"), 0)
PROBE = mx.array([[1, 200, 300, 400, 5]])
QWEN_7B = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def model(folder) -> nn.Module:
    return loading.load(folder, "float32").model


def trainable(model: nn.Module) -> set[str]:
    return {name for name, _ in tree_flatten(model.trainable_parameters())}


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_exactly_the_requested_modules_are_adapted(model, layers):
    made = lora.attach(model, AdapterSpec(3, 2.0, ("q_proj", "down_proj"), layers), seed=5)
    places = {"q_proj": "self_attn", "down_proj": "mlp"}
    last = range(2)[-layers:]
    expected = {f"model.layers.{i}.{place}.{name}" for i in last for name, place in places.items()}
    assert set(made) == set(lora.adapter_modules(model)) == expected
    assert trainable(model) == {f"{path}.{leaf}" for path in expected for leaf in ("lora_a", "lora_b")}
    count = len(last) * 3 * ((64 + 64) + (128 + 64))
    assert lora.trainable_count(model) == lora.expected_count(made, 3) == count
    assert all(module.scale == 2.0 for module in made.values()) and model.training


@pytest.mark.parametrize(("spec", "count"), [(ATTENTION, 4_128_768), (MIXED, 1_576_960)])
def test_the_counts_of_qwen_7b_come_from_its_shapes(spec, count):
    model = qwen2.Model(qwen2.ModelArgs.from_dict(QWEN_7B))  # lazy: no weight is ever computed
    found = lora.requested_modules(model, spec)
    assert len(found) == 28 * len(spec.modules)
    wrapped = {path: LoRALinear.from_base(module, r=spec.rank) for path, module in found.items()}
    assert lora.expected_count(wrapped, spec.rank) == count
    assert sum(module.lora_a.size + module.lora_b.size for module in wrapped.values()) == count


def test_a_quantized_module_has_the_shape_that_it_stands_for():
    plain = nn.Linear(128, 64, bias=False)
    for bits in (2, 4, 8):
        assert lora.linear_shape(nn.QuantizedLinear.from_linear(plain, 64, bits)) == (64, 128)
    assert lora.linear_shape(SwitchLinear(128, 64, 4, bias=False)) == (4, 64, 128)
    switch = LoRASwitchLinear.from_base(SwitchLinear(128, 64, 4, bias=False), r=2)
    expected = sum(array.size for _, array in tree_flatten(switch.parameters()) if array.shape != (4, 64, 128))
    assert lora.expected_count({"it": switch}, 2) == expected == 4 * 2 * (128 + 64)


def test_a_module_that_the_model_lacks_is_named(model):
    with pytest.raises(InputError, match=r"no module 'k_prj' in any of its layers; it has down_proj, .*k_proj"):
        lora.attach(model, AdapterSpec(1, 1.0, ("q_proj", "k_prj"), 0), seed=0)
    assert lora.adapter_modules(model) == {}


def put(model: nn.Module, path: str, module: nn.Module) -> None:
    *parents, last = path.split(".")
    owner = model.model
    for name in parents:
        owner = owner[int(name)] if name.isdigit() else owner[name]
    owner[last] = module


def nested(model: nn.Module) -> None:
    linear_to_lora_layers(model, 2, {"rank": 2, "scale": 1.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]})
    for layer in model.layers:
        outer = LoRALinear(64, 64, r=2)
        outer.linear = layer.self_attn.q_proj
        layer.self_attn.q_proj = outer


def stacked(model: nn.Module) -> None:
    lora.attach(model, AdapterSpec(2, 1.0, ("v_proj",), 1), seed=0)


def dora(model: nn.Module) -> None:
    put(model, "layers.1.mlp.up_proj", DoRALinear.from_base(model.layers[1].mlp.up_proj, r=2))


def embedding(model: nn.Module) -> None:
    put(model, "embed_tokens", LoRAEmbedding.from_base(model.model.embed_tokens, r=2))


def dora_embedding(model: nn.Module) -> None:
    put(model, "embed_tokens", DoRAEmbedding.from_base(model.model.embed_tokens, r=2))


@pytest.mark.parametrize("stale", [nested, stacked, dora, embedding, dora_embedding])
def test_any_adapter_on_the_model_is_refused_and_can_be_taken_off(model, stale):
    before = model(PROBE)
    mx.eval(before)
    stale(model)
    with pytest.raises(Broken) as caught:
        lora.attach(model, ATTENTION, seed=0)
    assert caught.value.rule.name == "no-stacked-adapter"
    if stale is nested:
        with pytest.raises(Broken):  # one layer is peeled off, and what is left is seen
            lora.detach(model)
        lora.detach(model)
    else:
        lora.detach(model)
    assert lora.adapter_modules(model) == {}
    assert mx.array_equal(model(PROBE), before).item()


def test_detach_restores_the_logits_bit_for_bit(model):
    before, digests = model(PROBE), fingerprint.frozen_digests(model)
    mx.eval(before)
    made = lora.attach(model, MIXED, seed=3)
    model.eval()
    fresh = model(PROBE)
    assert mx.array_equal(fresh, before).item()  # B is zero
    noise = {name: mx.random.normal(array.shape) for name, array in lora.adapter_weights(model).items()}
    lora.load_weights(model, noise)
    assert not mx.allclose(model(PROBE), before, atol=1e-2).item()
    assert fingerprint.frozen_digests(model) == digests
    assert len(made) == 8
    lora.detach(model)
    assert mx.array_equal(model(PROBE), before).item()
    assert fingerprint.frozen_digests(model) == digests and trainable(model) == set()


def test_the_adapter_follows_from_its_seed(model):
    def weights(seed: int) -> dict[str, list]:
        lora.attach(model, MIXED, seed)
        found = {name: array.tolist() for name, array in lora.adapter_weights(model).items()}
        lora.detach(model)
        return found

    assert weights(1) == weights(1) != weights(2)


def test_saved_weights_of_another_adapter_are_refused(model):
    lora.attach(model, MIXED, seed=1)
    weights = lora.adapter_weights(model)
    weights.pop(next(iter(weights)))
    with pytest.raises(Broken, match="saved adapter has 15 arrays, expected 16"):
        lora.load_weights(model, weights)


def test_the_fingerprint_changes_when_any_one_weight_does_and_only_then(model):
    first = fingerprint.frozen_digests(model)
    whole = fingerprint.fingerprint(first)
    assert fingerprint.fingerprint(fingerprint.frozen_digests(model)) == whole
    assert fingerprint.fingerprint(dict(reversed(first.items()))) == whole
    seen = {whole}
    for name, array in tree_flatten(model.parameters()):
        flat = array.reshape(-1)
        flat[0] = mx.array(float(flat[0].item()) + 1e-3)
        model.load_weights([(name, flat.reshape(array.shape))], strict=False)
        now = fingerprint.frozen_digests(model)
        assert [key for key in first if now[key] != first[key]] == [name]
        seen.add(fingerprint.fingerprint(now))
        model.load_weights([(name, array)], strict=False)
        assert fingerprint.fingerprint(fingerprint.frozen_digests(model)) == whole
    assert len(seen) == 1 + len(first)


def test_a_digest_sees_shape_type_and_every_element():
    zeros = mx.zeros((4, 6))
    different = [zeros.T, zeros.astype(mx.bfloat16), zeros.astype(mx.float16), mx.zeros((24,)), -zeros]
    assert len({fingerprint.digest(array) for array in (zeros, *different)}) == 6
    assert fingerprint.digest(zeros) == fingerprint.digest(mx.zeros((4, 6)))
    strided = mx.arange(24).reshape(4, 6)[:, ::2]
    assert fingerprint.digest(strided) == fingerprint.digest(mx.array(strided.tolist()))
