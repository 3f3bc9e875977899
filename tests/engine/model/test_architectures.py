"""Whole runs on tiny models of many architectures, float and quantized, every rule of the engine at work."""

import math
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
import tiny
import zoo
from mlx_lm.models.switch_layers import QuantizedSwitchLinear

from engine.adapters import lora
from engine.adapters.lora import AdapterSpec
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.data.batches import collate
from engine.data.templates.chat_template import Message, Renderer
from engine.model import loading
from engine.model.logprobs import Scorer
from engine.pipeline import decisions
from engine.pipeline.decisions import Decision

FIRST, SECOND = tiny.TOPICS[:2]
QUIET = 0.02  # of the weights: logits that a soft cap leaves alone


@pytest.fixture(scope="module")
def curriculum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_curriculum(tmp_path_factory.mktemp("curriculum") / "course", 2)


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first topic keeps both phases, the second is rolled back: what a random model answers decides nothing."""

    def by_topic(start: e.Evaluated, *_: object) -> Decision:
        return Decision("keep", "the first topic") if start.topic == FIRST else Decision("roll_back", "the second")

    monkeypatch.setattr(decisions, "after_phase", by_topic)
    monkeypatch.setattr(decisions, "after_dpo", by_topic)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("scales", ["float32", "bfloat16", "float16"])
def test_packed_weights_that_make_mlx_compute_in_a_wider_type_are_said(tmp_path: Path, scales: str, dtype: str) -> None:
    """Seen in what the model computes: it called itself bfloat16 and took float32's memory."""
    folder = zoo.make("qwen2", tmp_path / "model", 4)
    weights = dict(mx.load(str(folder / "model.safetensors")))
    floating = {name for name, array in weights.items() if mx.issubdtype(array.dtype, mx.floating)}
    weights |= {name: weights[name].astype(getattr(mx, scales)) for name in floating}
    mx.eval(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    model = loading.load(folder, dtype).model
    computed, said = model.model(mx.array([[1, 2, 3]])).dtype, loading.wider_type_warning(model, getattr(mx, dtype))
    assert (computed == getattr(mx, dtype)) == (said is None)
    if said is not None:
        assert computed == mx.float32 and f"scales are {scales}, the other numbers {dtype}" in said


@pytest.mark.parametrize("bits", [0, 4])
@pytest.mark.parametrize("kind", zoo.ARCHITECTURES)
def test_a_whole_run(kind: str, bits: int, curriculum: Path, tmp_path: Path, decided: None) -> None:
    model = zoo.make(kind, tmp_path / "model", bits)
    modules = list(zoo.MODULES[kind])
    config = tiny.settings(model, curriculum, sft={"modules": modules}, dpo={"modules": modules, "steps": 1})
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    assert ran.of(e.Failed) == [] and "error" not in ran.verdicts().values()
    fused = ran.of(e.AdapterChanged, state="fused")
    assert [(event.topic, event.phase) for event in fused] == [(FIRST, "sft"), (FIRST, "dpo")]
    assert all(event.fuse_cosine >= 0.999 and event.fuse_kl <= 1e-3 and event.delta_norm > 0 for event in fused)
    assert len(ran.of(e.AdapterChanged, state="rolled_back", topic=SECOND)) == 1
    attached = ran.of(e.AdapterChanged, state="attached")
    assert all(event.trainable == event.expected_trainable > 0 for event in attached)
    assert ran.of(e.Step, phase="dpo")[0].loss == pytest.approx(math.log(2), abs=1e-3)
    assert ran.committed() == [f"001-{FIRST.replace('/', '.')}-sft", f"002-{FIRST.replace('/', '.')}-dpo"]


@pytest.mark.parametrize(("mode", "dtype"), [("mxfp4", "float32"), ("affine", "bfloat16")])
def test_other_packings_and_number_types(
    mode: str, dtype: str, curriculum: Path, tmp_path: Path, decided: None
) -> None:
    """What rounding to bfloat16 would lose is kept beside the weights; packing itself loses nothing."""
    config = tiny.settings(zoo.make("llama", tmp_path / "model", 4, mode=mode), curriculum)
    config["model"]["dtype"] = dtype
    config["dpo"]["steps"] = 1
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    assert ran.of(e.Failed) == []
    settled = [event for event in ran.of(e.AdapterChanged) if event.fuse_cosine is not None]
    assert [event.phase for event in settled] == ["sft", "dpo"]
    for event in settled:
        limit = 0.99 if dtype == "bfloat16" else 0.999
        assert event.state == ("fused" if event.fuse_cosine >= limit else "kept_attached")
        assert event.state == "fused" or dtype == "bfloat16"


def test_a_quantized_model_is_quantized_where_it_was_not_touched(tmp_path: Path) -> None:
    loaded = loading.load(zoo.make("qwen3_moe", tmp_path / "model", 4), "float32")
    packed = [m for m in loaded.model.modules() if isinstance(m, nn.QuantizedLinear | QuantizedSwitchLinear)]
    assert len(packed) == 2 * (4 + 1 + 3) + 1  # attention, router, experts; the head
    found = lora.requested_modules(loaded.model, AdapterSpec(2, 1.0, ("gate_proj",), 1))
    assert list(found) == ["model.layers.1.mlp.switch_mlp.gate_proj"]
    assert lora.linear_shape(found["model.layers.1.mlp.switch_mlp.gate_proj"]) == (4, 32, 64)


def test_fused_projections_are_named_where_the_usual_ones_are_asked_for(curriculum: Path, tmp_path: Path) -> None:
    model = zoo.make("phi3", tmp_path / "model")
    with pytest.raises(InputError) as caught:
        tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(model, curriculum)))
    assert str(caught.value) == (
        "the model has no module 'q_proj' in any of its layers; it has down_proj, gate_up_proj, o_proj, qkv_proj"
    )


def test_a_module_of_some_layers_is_adapted_there_and_asked_of_the_last_ones(tmp_path: Path) -> None:
    model = loading.load(zoo.make("lfm2", tmp_path / "model"), "float32").model
    found = lora.attach(model, AdapterSpec(2, 1.0, ("q_proj", "in_proj"), 0), seed=0)
    assert sorted(found) == ["model.layers.0.conv.in_proj", "model.layers.1.self_attn.q_proj"]
    lora.detach(model)
    with pytest.raises(InputError, match="no module 'in_proj' in any of the last 1 layers; it has k_proj, out_proj"):
        lora.attach(model, AdapterSpec(2, 1.0, ("q_proj", "in_proj"), 1), seed=0)


@pytest.mark.parametrize(("bits", "loudness"), [(0, 1.0), (0, QUIET), (4, 1.0)])
@pytest.mark.parametrize(
    ("kind", "split"),
    [
        *((kind, True) for kind in ("llama", "qwen2", "phi3", "qwen3_moe")),
        *((kind, False) for kind in ("gemma2", "gemma3", "phi")),
    ],
)
def test_the_head_is_split_off_only_where_nothing_comes_after_it(
    kind: str, split: bool, bits: int, loudness: float, tmp_path: Path
) -> None:
    """Gemma 2 caps its logits softly, which shows on loud ones alone; Gemma 3 and Phi 2 cannot be taken apart."""
    loaded = loading.load(zoo.make(kind, tmp_path / "model", bits, loudness), "float32")
    renderer = Renderer(loaded.tokenizer)
    before = loaded.model(mx.array([[1, 5, 9]]))
    scorer = Scorer(loaded.model, mx.array([renderer.prompt_ids([Message("user", "Who minds the lamp?")])]))
    assert scorer.split is split
    assert mx.array_equal(loaded.model(mx.array([[1, 5, 9]])), before).item(), "the look changes nothing"
    batch = collate([renderer.example([Message("user", "A?")], text, 64) for text in ("Aye, I do.", "Nay.")], 2)
    whole = loaded.model(batch.tokens).reshape(-1, tiny.VOCABULARY)[batch.gather]
    logps = (whole - mx.logsumexp(whole, axis=-1, keepdims=True))[mx.arange(batch.supervised), batch.targets]
    assert mx.allclose(scorer.logps(batch), logps, rtol=1e-4, atol=1e-4).item()
