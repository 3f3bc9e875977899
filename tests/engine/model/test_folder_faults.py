"""Model folders that are something else, or lack something, are called what they are, before a run begins."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
import tiny

from engine.contract.errors import InputError
from engine.model.folder_faults import position_limit, reason
from engine.model.loading import check_folder, load


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def weights(folder: Path) -> dict[str, mx.array]:
    return dict(mx.load(str(folder / "model.safetensors")))


def test_what_is_no_model_is_called_what_it_is(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    with pytest.raises(InputError, match=r"is an adapter, not a model: .* \(it was made for 'org/base'\)"):
        check_folder(adapter)
    change(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(InputError, match="its weights are packed by bitsandbytes, which MLX does not read"):
        check_folder(folder)


def test_missing_shards_and_lfs_pointers_are_named(folder: Path) -> None:
    shards = {f"layer.{n}": f"model-0000{n}-of-00007.safetensors" for n in range(1, 8)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(InputError, match=r"names model-00001-of-00007\.safetensors, .* and 3 more, which are"):
        check_folder(folder)
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(InputError, match=r"model\.safetensors is a Git LFS pointer of 56 bytes, not the weights"):
        check_folder(folder)


def test_weights_that_are_not_finite_are_named(folder: Path) -> None:
    found = weights(folder)
    found["model.norm.weight"] = found["model.norm.weight"] * float("nan")
    mx.save_safetensors(str(folder / "model.safetensors"), found, {"format": "mlx"})
    with pytest.raises(InputError, match=r"not all numbers are finite in model\.norm\.weight"):
        load(folder, "float32")


def test_a_head_that_would_be_lost_is_named(folder: Path) -> None:
    found = weights(folder)
    found["lm_head.weight"] = found["model.embed_tokens.weight"] + 1
    mx.save_safetensors(str(folder / "model.safetensors"), found, {"format": "mlx"})
    with pytest.raises(InputError, match=r"has a head of its own \(lm_head\.weight\), but its config\.json ties"):
        load(folder, "float32")


def test_tokens_beyond_the_embedding_are_named(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    added = {"special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer["added_tokens"] += [added | {"id": 1024 + n, "content": f"<new-{n}>"} for n in range(6)]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match=r"embedding of 1,024 tokens, .* beyond it: '<new-0>', .* and 2 more"):
        load(folder, "float32")


def test_missing_parameters_are_named(folder: Path) -> None:
    found = {name: array for name, array in weights(folder).items() if "layers.1.mlp" not in name}
    mx.save_safetensors(str(folder / "model.safetensors"), found, {"format": "mlx"})
    with pytest.raises(InputError, match=r"Missing 3 parameters: model\.layers\.1\.mlp\.down_proj\.weight, "):
        load(folder, "float32")
    assert (
        reason(ValueError("Missing 6 parameters: \na,\nb,\nc,\nd,\ne,\nf."))
        == "Missing 6 parameters: a, b, c, d and 2 more"
    )


def test_a_template_beside_the_tokenizer_is_found(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    template = settings.pop("chat_template")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert load(folder, "float32").tokenizer.chat_template == template


def test_the_positions_of_a_model() -> None:
    assert position_limit({"model_type": "gpt2", "n_positions": 48}) == (48, True)
    assert position_limit({"model_type": "llama", "max_position_embeddings": 32}) == (32, False)
    assert position_limit({"text_config": {"max_position_embeddings": 64}}) == (64, False)
    assert position_limit({}) == (0, False)
