"""A GGUF export: the engine's model when our reader converts the file back, and refusals in one sentence."""

import json
import re
import stat
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
import pytest
import tiny
import vocabularies
import zoo
from committed import commit_random
from mlx_lm.utils import load_model

from engine.adapters.committed_model import open_stage
from engine.adapters.lora import AdapterSpec
from engine.contract.errors import InputError
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import BASE
from engine.export import export
from engine.formats import gguf_folder, gguf_model
from engine.formats.gguf_file import NUMBER_TYPES, read_values
from engine.model import gguf as reader
from engine.model import loading
from engine.model.backend import prepare

SPECS = (AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0), AdapterSpec(2, 1.0, ("k_proj", "o_proj", "down_proj"), 1))
IDS = mx.array([[1, 40, 300, 7, 512, 90, 3]])
CLOSE = 1e-5  # of logits between 0 and about 4
ERRORS = {"f32": 0.0, "f16": 1e-3, "bf16": 8e-3, "q8_0": 0.01, "q5_1": 0.05, "q5_0": 0.07, "q4_1": 0.1, "q4_0": 0.13}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    base = tiny.make_model(tmp_path_factory.mktemp("models") / "base")
    return commit_random(tmp_path_factory.mktemp("logs") / "My run", base, SPECS)


def logits(run: RunDir, stage: str | None = None) -> mx.array:
    return open_stage(run, stage, prepare(), print).ledger.model(IDS)


def read_back(file: Path, folder: Path) -> mx.array:
    folder.mkdir()
    reader.convert(file, folder)
    return load_model(folder)[0](IDS)


def far(a: mx.array, b: mx.array) -> float:
    return mx.abs(a - b).max().item()


def fields(file: Path) -> dict[str, object]:
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def test_our_reader_finds_the_engine_s_model(run: RunDir, tmp_path: Path) -> None:
    said = export(run, tmp_path / "out", "gguf", numbers="f32")
    found = read_back(tmp_path / "out" / "my-run-f32.gguf", tmp_path / "back")
    assert far(found, logits(run)) < CLOSE < far(found, logits(run, BASE))
    assert [line.partition(": ")[0] for line in said[1:]] == ["Ollama", "LM Studio", "llama.cpp"]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o055, "another account, as Ollama's, reads it"


@pytest.mark.parametrize("numbers", NUMBER_TYPES)
def test_every_number_type_is_near_the_weights(run: RunDir, tmp_path: Path, numbers: str) -> None:
    export(run, tmp_path / "exact", "gguf", numbers="f32")
    export(run, tmp_path / "out", "gguf", numbers=numbers)
    exact = dict(read_values(tmp_path / "exact" / "my-run-f32.gguf"))
    for name, values in read_values(tmp_path / "out" / f"my-run-{numbers}.gguf"):
        error = np.linalg.norm(values - exact[name]) / np.linalg.norm(exact[name])
        assert error <= (0.01 if name == "token_embd.weight" else ERRORS[numbers]), (name, error)
    file = gguf.GGUFReader(tmp_path / "out" / f"my-run-{numbers}.gguf")
    kinds = {tensor.tensor_type for tensor in file.tensors if tensor.name.endswith("attn_q.weight")}
    assert kinds == {NUMBER_TYPES[numbers][0]}


def test_metadata_has_sizes_template_and_end_token(run: RunDir, tmp_path: Path) -> None:
    export(run, tmp_path / "out", "gguf")
    found = fields(tmp_path / "out" / "my-run-f16.gguf")
    tokenizer = open_stage(run, BASE, prepare(), print).loaded.tokenizer
    assert found["tokenizer.chat_template"] == tokenizer.chat_template
    assert found["tokenizer.ggml.eos_token_id"] == found["tokenizer.ggml.eot_token_id"] == tokenizer.eos_token_id
    assert found["tokenizer.ggml.add_bos_token"] is False
    assert (found["general.architecture"], found["general.name"]) == ("llama", "My run (base)")
    assert len(found["tokenizer.ggml.tokens"]) == found["llama.vocab_size"] == tiny.VOCABULARY


def test_an_adapter_is_the_change_of_the_weights(run: RunDir, tmp_path: Path) -> None:
    export(run, tmp_path / "one", "gguf-adapter")
    export(run, tmp_path / "out", "gguf", numbers="f32")
    whole, pieces = dict(read_values(tmp_path / "out" / "my-run-f32.gguf")), tmp_path / "one" / "adapter.gguf"
    factors, told = dict(read_values(pieces)), fields(pieces)
    opened = open_stage(run, BASE, prepare(), print)
    (tmp_path / "base").mkdir()
    gguf_folder.plan(opened, run, "f32").write(tmp_path / "base")
    base = dict(read_values(tmp_path / "base" / "my-run-f32.gguf"))
    assert told["general.type"] == "adapter"
    changed = {name for name in base if np.abs(whole[name] - base[name]).max() > 0}
    assert changed == {name.rpartition(".")[0] for name in factors}
    for name in changed:
        a, b = factors[f"{name}.lora_a"], factors[f"{name}.lora_b"]
        assert np.abs(b @ a * told["adapter.lora.alpha"] / a.shape[0] - (whole[name] - base[name])).max() < CLOSE


def test_a_packed_base_is_written_dequantized(tmp_path: Path) -> None:
    base = zoo.make("qwen2", tmp_path / "base", bits=4)
    run = commit_random(tmp_path / "run", base, SPECS[:1])
    export(run, tmp_path / "out", "gguf", numbers="f32")
    model = open_stage(run, None, prepare(), print).ledger.model
    found = dict(read_values(tmp_path / "out" / "run-f32.gguf"))
    packed = model.layers[0].mlp.down_proj
    wanted = mx.dequantize(packed.weight, packed.scales, packed.biases, packed.group_size, packed.bits)
    assert np.array_equal(found["blk.0.ffn_down.weight"], np.array(wanted.astype(mx.float32)))
    assert found["blk.0.attn_q.bias"].shape == (64,)


@pytest.mark.parametrize(("kind", "bits"), [("llama", 0), ("qwen2", 4), ("gemma2", 0)])
def test_the_weights_of_a_file_are_the_model_again(tmp_path: Path, kind: str, bits: int) -> None:
    run = commit_random(tmp_path / "run", zoo.make(kind, tmp_path / "base", bits=bits), SPECS[:1])
    export(run, tmp_path / "out", "gguf", numbers="f32")
    model = open_stage(run, None, prepare(), print).ledger.model
    wanted = model(IDS)
    for layer in model.layers:
        layer.mlp.down_proj.weight = layer.mlp.down_proj.weight * 0
    gguf_model.load_back(model, tmp_path / "out" / "run-f32.gguf")
    assert far(model(IDS), wanted) < CLOSE


def test_what_the_type_costs_the_voice_is_printed_and_in_the_card(tmp_path: Path) -> None:
    base, rows = tiny.make_model(tmp_path / "base"), tiny.make_curriculum(tmp_path / "rows")
    run = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(base, rows))).run
    said = export(run, tmp_path / "out", "gguf", numbers="f32", measure=True)
    before, after = re.fullmatch(r"voice (.*) → (.*) at f32", said[1]).groups()
    assert before == after, "f32 loses nothing"
    assert f"V{said[1][1:]}." in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(("kind", "name"), [("phi3", "my Phi 3 (base), phi3"), ("gpt-2", "my Phi 3 (base)")])
def test_phi3_is_in_the_name_only_for_a_tokenizer_as_phi_3_has(tmp_path: Path, kind: str, name: str) -> None:
    base = zoo.make("llama", tmp_path / "base", more={"vocab_size": vocabularies.SIZE})
    vocabularies.install(kind, base)
    run = commit_random(tmp_path / "my phi-3", base, SPECS[:1])
    export(run, tmp_path / "out", "gguf")
    (file,) = (tmp_path / "out").glob("*.gguf")
    assert fields(file)["general.name"] == name


@pytest.mark.parametrize(
    ("form", "numbers", "sentence"),
    [
        ("gguf", "q4_k_m", r"--type q4_k_m: only llama\.cpp makes this type; .* llama-quantize .* Q4_K_M"),
        ("gguf", "q9", r"--type 'q9': unknown; the types are f32, f16, .*"),
        ("mlx", "q8_0", r"--type and --measure are for --format gguf; .*"),
    ],
)
def test_a_type_that_cannot_be_written_is_refused(
    run: RunDir, tmp_path: Path, form: str, numbers: str, sentence: str
) -> None:
    with pytest.raises(InputError) as error:
        export(run, tmp_path / "out", form, numbers=numbers)
    assert re.fullmatch(sentence, str(error.value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["gguf", "gguf-adapter"])
def test_an_unknown_architecture_is_refused_by_name(tmp_path: Path, form: str) -> None:
    run = commit_random(tmp_path / "run", zoo.make("mixtral", tmp_path / "base"), SPECS[:1])
    with pytest.raises(InputError, match="does not know the architecture mixtral; it knows llama, "):
        export(run, tmp_path / "out", form)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "the rotary embedding is dynamic"),
        ({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}, "sliding attention"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    run = commit_random(tmp_path / "run", zoo.make("llama", tmp_path / "base", more=change), SPECS[:1])
    with pytest.raises(InputError, match=sentence):
        export(run, tmp_path / "out", "gguf")


def test_weights_above_the_range_of_f16_are_refused(tmp_path: Path) -> None:
    run = commit_random(tmp_path / "run", zoo.make("llama", tmp_path / "base", loudness=1e6), SPECS[:1])
    with pytest.raises(InputError, match="too large for f16; use --type bf16 or f32"):
        export(run, tmp_path / "out", "gguf")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_the_embedded_model_answers_alike_from_its_file(tmp_path: Path) -> None:
    base = loading.locate("smollm2-135m-instruct", print)
    run = commit_random(tmp_path / "run", base, SPECS)
    export(run, tmp_path / "out", "gguf", numbers="q8_0")
    file = tmp_path / "out" / "run-q8_0.gguf"
    assert file.stat().st_size < 150 * 2**20
    model = open_stage(run, None, prepare(), print).ledger.model
    (tmp_path / "back").mkdir()
    reader.convert(file, tmp_path / "back")
    back = load_model(tmp_path / "back")[0]
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["rope_theta"] == json.loads((base / "config.json").read_text())["rope_theta"]
    ids = mx.array([loading.load_tokenizer(base).encode("<|im_start|>user\nWhat good is a lamp?<|im_end|>\n")])
    ours, theirs = (each(ids).astype(mx.float32) for each in (model, back))
    ours, theirs = (each - mx.logsumexp(each, axis=-1, keepdims=True) for each in (ours, theirs))
    kl = (mx.exp(ours) * (ours - theirs)).sum(-1).mean().item()
    assert kl < 0.01, "nats a token that q8_0 costs"
