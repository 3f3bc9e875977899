"""Fused folders of bases that store weights otherwise than mlx-lm does: loaded back before they are called good."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import tiny
import zoo
from committed import commit_random
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import _get_classes, load_model

from engine.adapters.committed_model import open_stage
from engine.adapters.lora import AdapterSpec
from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.export import export
from engine.formats import fused_model
from engine.model.backend import prepare

SPEC = AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0)
IDS = mx.array([[1, 40, 300, 7, 512, 90, 3]])
CLOSE = 1e-4
EXAONE = {
    "model_type": "exaone", "hidden_size": 64, "num_layers": 2, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": tiny.VOCABULARY, "rope_theta": 1e4, "layer_norm_epsilon": 1e-5,
    "max_position_embeddings": 512, "eos_token_id": 2,
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 4,
    "num_experts_per_tok": 2, "vocab_size": tiny.VOCABULARY, "rms_norm_eps": 1e-5, "sliding_window": 32,
    "rope_theta": 1e4, "layer_types": ["sliding_attention", "full_attention"], "eos_token_id": 2,
    "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                     "original_max_position_embeddings": 4096},
}  # fmt: skip


def built(folder: Path, config: dict[str, Any]) -> dict[str, mx.array]:
    """A tiny random model as a folder; its tensors as mlx-lm names them."""
    model_class, arguments = _get_classes(config)
    mx.random.seed(7)
    model = model_class(arguments.from_dict(config))
    zoo.write(folder, model, config, 0)
    return dict(tree_flatten(model.parameters()))


def stored(folder: Path, weights: dict[str, mx.array], **more: Any) -> Path:
    """The folder with these tensors in place of its own, and more in its config.json."""
    mx.save_safetensors(str(folder / "new.safetensors"), weights, {"format": "pt"})
    (folder / "new.safetensors").replace(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | more))
    return folder


def gpt_oss(folder: Path) -> Path:
    """As OpenAI publishes it: experts in blocks and scales of mxfp4, gate and up in turns, attention plain."""
    plain = built(folder, GPT_OSS)
    weights = {name: array for name, array in plain.items() if ".experts." not in name}

    def pack(name: str, array: mx.array) -> None:
        packed, scales = mx.quantize(array, 32, 4, mode="mxfp4")
        weights[f"{name}_blocks"] = packed.view(mx.uint8).reshape(*packed.shape[:-1], -1, 16)
        weights[f"{name}_scales"] = scales

    for layer in range(2):
        experts = f"model.layers.{layer}.mlp.experts"
        gate, up, down = (plain[f"{experts}.{name}_proj.weight"] for name in ("gate", "up", "down"))
        pack(f"{experts}.gate_up_proj", mx.stack([gate, up], axis=2).reshape(gate.shape[0], -1, gate.shape[2]))
        pack(f"{experts}.down_proj", down)
        gate, up, down = (plain[f"{experts}.{name}_proj.bias"] for name in ("gate", "up", "down"))
        weights[f"{experts}.gate_up_proj_bias"] = mx.stack([gate, up], axis=-1).reshape(gate.shape[0], -1)
        weights[f"{experts}.down_proj_bias"] = down
    return stored(folder, weights, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})


def awq(folder: Path) -> Path:
    """A Llama as AutoAWQ packs it."""
    tiny.make_model(folder)
    numbers, weights = np.random.default_rng(0), {}
    for name, array in mx.load(str(folder / "model.safetensors")).items():
        if not name.endswith("_proj.weight"):
            weights[name] = array.astype(mx.float16)
            continue
        (out, inside), stem = array.shape, name.removesuffix(".weight")
        for leaf, shape in (("qweight", (inside, out // 8)), ("qzeros", (inside // 32, out // 8))):
            drawn = numbers.integers(-(2**31), 2**31 - 1, shape).astype(np.int32)
            weights[f"{stem}.{leaf}"] = mx.array(drawn).view(mx.uint32)
        weights[f"{stem}.scales"] = mx.array((numbers.random((inside // 32, out)) * 0.01).astype(np.float16))
    packing = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
    return stored(folder, weights, quantization_config=packing)


def far(folder: Path, run: RunDir) -> float:
    """The largest difference of a logit between the exported model in mlx-lm and the engine's."""
    ours = open_stage(run, None, prepare(), print).ledger.model(IDS)
    return mx.abs(load_model(folder)[0](IDS).astype(mx.float32) - ours.astype(mx.float32)).max().item()


def test_gpt_oss_as_it_is_published_keeps_its_packed_experts(tmp_path: Path) -> None:
    run = commit_random(tmp_path / "run", gpt_oss(tmp_path / "base"), (SPEC,))
    assert len(export(run, tmp_path / "mlx")) == 1
    config = json.loads((tmp_path / "mlx" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "mxfp4"
    names = [mx.load(str(folder / "model.safetensors")).keys() for folder in (tmp_path / "base", tmp_path / "mlx")]
    assert names[0] == names[1]
    assert far(tmp_path / "mlx", run) < CLOSE


def test_gpt_oss_with_its_experts_trained_is_in_the_names_of_mlx_lm(tmp_path: Path) -> None:
    spec = AdapterSpec(2, 2.0, ("q_proj", "down_proj"), 1)
    run = commit_random(tmp_path / "run", gpt_oss(tmp_path / "base"), (spec,))
    assert "transformers will not load" in export(run, tmp_path / "mlx")[1]
    assert far(tmp_path / "mlx", run) < CLOSE


def test_what_awq_packed_is_packed_as_mlx_lm_packs_it(tmp_path: Path) -> None:
    run = commit_random(tmp_path / "run", awq(tmp_path / "base"), (SPEC,))
    assert "packed as only MLX reads them; transformers will not load" in export(run, tmp_path / "mlx")[1]
    assert far(tmp_path / "mlx", run) < CLOSE


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("plain")
    base = tiny.make_model(folder / "base")
    for name in ("LICENSE.txt", "NOTICE", "preprocessor_config.json", "processor_config.json", "modeling_own.py"):
        (base / name).write_text("{}")
    stored(base, mx.load(str(base / "model.safetensors")), auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    return commit_random(folder / "run", base, (SPEC,))


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.q_proj.weight", "model.norm.weight"])
def test_a_folder_that_gives_another_model_back_is_refused(
    name: str, plain: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight that is written wrong, touched or not, in the base's names and in mlx-lm's."""
    real = fused_model._save

    def save(folder: Path, weights: dict[str, mx.array]) -> None:
        weights[name] = weights[name] + 1e-3
        real(folder, weights)

    monkeypatch.setattr(fused_model, "_save", save)
    with pytest.raises(InputError, match=rf"mlx-lm makes another model of its fused folder \({name} differs\); use"):
        export(plain, tmp_path / "mlx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_mlx_lm_does_not_load_is_refused(
    plain: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fused_model._save

    def save(folder: Path, weights: dict[str, mx.array]) -> None:
        del weights["model.norm.weight"]
        real(folder, weights)

    monkeypatch.setattr(fused_model, "_save", save)
    with pytest.raises(
        InputError, match=r"mlx-lm makes another model of its fused folder \(.+\); use --format adapter"
    ):
        export(plain, tmp_path / "mlx")
    assert list(tmp_path.iterdir()) == []


def test_what_goes_along_and_what_is_said_of_what_does_not(plain: RunDir, tmp_path: Path) -> None:
    said = export(plain, tmp_path / "mlx")
    assert "code of its own, which stays behind" in said[1]
    names = {path.name for path in (tmp_path / "mlx").iterdir()}
    assert {"LICENSE.txt", "NOTICE", "preprocessor_config.json", "processor_config.json"} <= names
    assert "modeling_own.py" not in names


@pytest.mark.parametrize("hub", [False, True])
def test_a_link_out_of_the_base_is_left_out_and_named(tmp_path: Path, hub: bool) -> None:
    """The folder may be published; LICENSE -> ~/.ssh/id_rsa would publish a key."""
    secret = tmp_path / "id_rsa"
    secret.write_text("a private key")
    cache = tmp_path / "models--org--name"
    base = tiny.make_model(cache / "snapshots" / "abc" if hub else tmp_path / "model")
    blob = (cache / "blobs" if hub else base) / "blob"
    blob.parent.mkdir(exist_ok=True)
    blob.write_text("a licence")
    (base / "LICENSE").symlink_to(secret)
    (base / "LICENSE.txt").symlink_to(blob)
    (base / "NOTICE").mkdir()
    run = commit_random(tmp_path / "run", base, [SPEC])
    target = tmp_path / "out"
    (said,) = [line for line in export(run, target) if "left out" in line]
    assert all(name in said for name in ("'LICENSE'", "'NOTICE'")) and "LICENSE.txt" not in said
    assert (target / "LICENSE.txt").read_text() == "a licence"
    assert not any((target / name).exists() for name in ("LICENSE", "NOTICE"))


@pytest.mark.parametrize("blobs", [True, False])
def test_blobs_that_are_a_link_are_no_cache(tmp_path: Path, blobs: bool) -> None:
    cache = tmp_path / "models--org--name"
    base = cache / "snapshots" / "abc"
    base.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text("a private key")
    if blobs:
        (cache / "blobs").symlink_to(outside)
    (base / "LICENSE").symlink_to(outside / "key")
    assert not fused_model._within(base, base / "LICENSE")


def test_many_shards_are_one_model(plain: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_threes(weights: dict[str, mx.array]) -> list[dict[str, mx.array]]:
        items = list(weights.items())
        return [dict(items[start : start + 3]) for start in range(0, len(items), 3)]

    monkeypatch.setattr(fused_model, "make_shards", in_threes)
    export(plain, tmp_path / "mlx")
    index = json.loads((tmp_path / "mlx" / "model.safetensors.index.json").read_text())
    files = {name: file for file in (tmp_path / "mlx").glob("*.safetensors") for name in mx.load(str(file))}
    assert {name: file.name for name, file in files.items()} == index["weight_map"]
    assert index["metadata"]["total_size"] == sum(
        array.nbytes for file in set(files.values()) for array in mx.load(str(file)).values()
    )
    assert far(tmp_path / "mlx", plain) < CLOSE


def test_layers_of_another_name_are_adapted_in_mlx_lm(tmp_path: Path) -> None:
    """`transformer.h.0.attn.attention.q_proj`: what was committed, and all of it as one adapter."""
    built(tmp_path / "base", EXAONE)
    run = commit_random(tmp_path / "run", tmp_path / "base", (SPEC,))
    said = export(run, tmp_path / "one", "adapter")
    ours = open_stage(run, None, prepare(), print).ledger.model(IDS)
    for folder in (tmp_path / "one", next(run.adapters.glob("001-*"))):
        settings = json.loads((folder / "adapter_config.json").read_text())
        assert settings["lora_parameters"]["keys"] == ["attn.attention.q_proj", "attn.attention.v_proj"]
        assert settings["num_layers"] == 2
        adapted = load_adapters(load_model(Path(said[-1].removeprefix("its base: ")))[0], str(folder))
        adapted.eval()
        assert mx.abs(adapted(IDS) - ours).max().item() < CLOSE
    export(run, tmp_path / "peft", "peft")
    settings = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["attn.attention.q_proj", "attn.attention.v_proj"]
