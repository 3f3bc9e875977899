"""A model is found and loaded as it should be, or one sentence says why not."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import save
from tiny_gguf import Tiny, make_tiny

from engine.contract.errors import InputError
from engine.model import gguf
from engine.model.loading import LoadedModel, load, locate, name_of, parameter_count, revision_of


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    """The tiny model converted, in a folder of its own that a test may damage."""
    path = tmp_path / "tiny-model"
    path.mkdir()
    gguf.convert(tiny.path, path)
    return path


@pytest.fixture(scope="module")
def smollm() -> LoadedModel:
    return load(locate("smollm2-135m-instruct", print), "float32")


def test_the_embedded_model_answers_sensibly(smollm):
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = smollm.tokenizer.apply_chat_template(question, add_generation_prompt=True)
    assert mlx_lm.generate(smollm.model, smollm.tokenizer, prompt, max_tokens=20) == "The capital of France is Paris."
    assert (smollm.name, smollm.config["model_type"], smollm.model.training) == (
        "smollm2-135m-instruct",
        "llama",
        False,
    )


def test_parameters_are_counted_over_arrays(smollm, folder):
    assert parameter_count(smollm.model) == 134_515_008
    model = load(folder, "float32").model
    count = sum(array.size for _, array in tree_flatten(model.parameters()))
    assert parameter_count(model) == count
    nn.quantize(model, group_size=32, bits=4)
    assert parameter_count(model) == count


def test_weights_are_cast_but_for_packed_ones(folder, tmp_path):
    assert {a.dtype for _, a in tree_flatten(load(folder, "bfloat16").model.parameters())} == {mx.bfloat16}
    loaded = load(folder, "bfloat16")
    nn.quantize(loaded.model, group_size=32, bits=4)
    packed = tmp_path / "packed"
    packing = {"quantization": {"group_size": 32, "bits": 4}}
    save(packed, folder, loaded.model, loaded.tokenizer, loaded.config | packing)
    model = load(packed, "float32").model
    assert model.model.norm.weight.dtype == mx.float32
    assert model.layers[0].mlp.up_proj.weight.dtype == mx.uint32
    assert model.layers[0].mlp.up_proj.scales.dtype == mx.bfloat16
    assert mx.isfinite(model(mx.array([[1, 5, 9]]))).all().item()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "has no readable config.json"),
        ("config.json", b"{torn", "has no readable config.json"),
        ("config.json", b"{}", "cannot be loaded"),
        ("config.json", b'{"model_type": "martian"}', "martian"),
        ("model.safetensors", None, r"no file model\*.safetensors is in it"),
        ("model.safetensors", b"torn", "cannot be loaded"),
        ("tokenizer.json", b"{torn", "cannot be loaded"),
    ],
)
def test_a_damaged_folder_gives_one_sentence(folder, name, content, message):
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        load(locate(str(folder), print), "float32")
    assert "\n" not in str(raised.value)


def test_truncated_weights_give_one_sentence(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot be loaded"):
        load(folder, "float32")


def test_pickles_are_refused_by_name(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"its weights are pickles \(pytorch_model.bin\)"):
        locate(str(folder), print)


def test_code_in_a_model_folder_is_not_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "own.py"}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(InputError, match="no code of a model folder is run"):
        load(folder, "float32")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model [1]", "model*", "mod?l"])
def test_a_folder_whose_name_is_a_pattern_to_mlx_lm_is_refused(folder, name):
    """Before, the weights of `model 1` were loaded in place of those of `model [1]`."""
    named = folder.rename(folder.with_name(name))
    shutil.copytree(named, named.with_name("model 1"))
    with pytest.raises(InputError, match=r"\* \? \[ in its path as a pattern"):
        load(named, "float32")


def test_a_hub_id_is_downloaded_or_one_sentence_says_what_was_tried(folder, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--org--model" / "snapshots" / "abc"
    shutil.copytree(folder, snapshot)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub_id, revision, allow_patterns: str(snapshot))
    said: list[str] = []
    assert locate("org/model", said.append) == snapshot
    assert "org/model" in said[0]
    assert name_of(snapshot) == "org/model"
    assert revision_of(snapshot) == "abc" and revision_of(folder) == ""

    def fail(hub_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network\nand a long story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(InputError, match=r"'org/model' is not a folder here and could not be loaded .*: no network\.$"):
        locate("org/model", said.append)


@pytest.mark.parametrize("spec", ["no-such-model", "./no/such/folder", "../x"])
def test_a_name_that_means_nothing_gives_one_sentence(spec, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # beside which there is no folder x
    with pytest.raises(InputError, match="is neither an embedded one"):
        locate(spec, print)


def test_a_file_is_not_a_model(folder):
    with pytest.raises(InputError, match="is a file; a folder"):
        locate(str(folder / "model.safetensors"), print)
