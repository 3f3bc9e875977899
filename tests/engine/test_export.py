"""What an export says to other tools: the same logits as the engine's model, under the names that they look for."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
import tiny
import yaml
from committed import commit_random
from disks import read_only
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3_moe
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model, save_model

from engine import lowrank, models
from engine.adapters import AdapterSpec
from engine.backend import prepare
from engine.card import card, plain
from engine.contract import events as e
from engine.contract.errors import InputError
from engine.contract.journal import read_journal
from engine.contract.rundir import RunDir
from engine.export import export
from engine.portable import find_places
from engine.stages import BEFORE, open_stage

SPECS = (  # different ranks, modules and layers
    AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0),
    AdapterSpec(2, 1.0, ("v_proj", "up_proj", "down_proj"), 1),
    AdapterSpec(3, 0.5, ("q_proj", "o_proj"), 0),
)
IDS = mx.array([[1, 40, 300, 7, 512, 90, 3]])
CLOSE = 1e-5  # of logits between 0 and about 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return commit_random(tmp_path_factory.mktemp("logs") / "run", base, SPECS)


def engine_logits(run: RunDir, stage: str | None = None) -> mx.array:
    model = open_stage(run, stage, prepare(), print).ledger.model
    return model(IDS).astype(mx.float32)


def far(a: mx.array, b: mx.array) -> float:
    return mx.abs(a.astype(mx.float32) - b.astype(mx.float32)).max().item()


def test_a_fused_folder_holds_the_engine_s_model(run: RunDir, base: Path, tmp_path: Path) -> None:
    said = export(run, tmp_path / "mlx")
    declared = json.loads((run.adapters / "ledger.json").read_text())["fingerprint"]
    assert declared in said[0]
    model, config = load_model(tmp_path / "mlx")
    assert far(model(IDS), engine_logits(run)) < CLOSE < far(model(IDS), engine_logits(run, BEFORE))
    assert config["torch_dtype"] == "float32"
    tensors, originals = (mx.load(str(folder / "model.safetensors")) for folder in (tmp_path / "mlx", base))
    assert {name: a.shape for name, a in tensors.items()} == {name: a.shape for name, a in originals.items()}
    for file in base.glob("tokenizer*"):
        assert (tmp_path / "mlx" / file.name).read_bytes() == file.read_bytes()


def test_one_adapter_is_all_deltas(run: RunDir, base: Path, tmp_path: Path) -> None:
    said = export(run, tmp_path / "one", "adapter")
    model = load_adapters(load_model(Path(said[-1].removeprefix("its base: ")))[0], str(tmp_path / "one"))
    assert far(model(IDS), engine_logits(run)) < CLOSE
    settings = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    assert settings["lora_parameters"]["rank"] == 7  # q_proj has 4 + 3, the others are filled with zeros
    assert settings["num_layers"] == 2


def test_a_peft_adapter_has_the_names_and_shapes_that_peft_reads(run: RunDir, base: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "peft", "peft")
    settings = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    weights = mx.load(str(tmp_path / "peft" / "adapter_model.safetensors"))
    assert settings["base_model_name_or_path"] == str(base)
    assert (settings["peft_type"], settings["task_type"], settings["fan_in_fan_out"]) == ("LORA", "CAUSAL_LM", False)
    model = load_model(base)[0]
    for path, module in list(model.named_modules()):
        named = any(path == name or path.endswith(f".{name}") for name in settings["target_modules"])
        key = f"base_model.model.{path}"
        assert named == (f"{key}.lora_A.weight" in weights), path
        if named:
            rank, alpha = (
                next((value for pattern, value in settings[each].items() if re.match(rf"(.*\.)?({pattern})$", path)), r)
                for each, r in (("rank_pattern", settings["r"]), ("alpha_pattern", settings["lora_alpha"]))
            )
            a, b = weights.pop(f"{key}.lora_A.weight"), weights.pop(f"{key}.lora_B.weight")
            out, inside = module.weight.shape
            assert (a.shape, b.shape) == ((rank, inside), (out, rank)), path
            module.weight = module.weight + alpha / rank * (b @ a)
    assert not weights
    assert far(model(IDS), engine_logits(run)) < CLOSE


def test_a_smaller_rank_is_the_nearest_and_says_what_it_lost(run: RunDir, tmp_path: Path) -> None:
    ledger = open_stage(run, None, prepare(), print).ledger
    whole = lowrank.combined(ledger.deltas)
    for rank in (1, 3, 7):
        cut, loss = lowrank.truncated(whole, rank)
        errors, norms = {}, {}
        for path, factors in whole.items():
            change = factors.a @ factors.b
            values = mx.linalg.svd(change, compute_uv=False, stream=mx.cpu)
            errors[path], norms[path] = (
                mx.linalg.norm(change - cut[path].a @ cut[path].b).item(),
                mx.linalg.norm(change).item(),
            )
            assert cut[path].rank <= rank
            assert errors[path] == pytest.approx(mx.linalg.norm(values[rank:]).item(), abs=1e-5)
        total = sum(e * e for e in errors.values()) ** 0.5 / sum(n * n for n in norms.values()) ** 0.5
        worst = max(errors, key=lambda path: errors[path] / norms[path])
        assert loss.whole == pytest.approx(total, abs=1e-5)
        assert loss.worst == pytest.approx(errors[worst] / norms[worst], abs=1e-5)
        assert rank == 7 or loss.module == worst
    said = export(run, tmp_path / "cut", "adapter", 3)
    assert f"rank 3 loses {lowrank.truncated(whole, 3)[1].whole:.2%} of the change" in said[1]
    assert str(lowrank.truncated(whole, 3)[1]) in (tmp_path / "cut" / "README.md").read_text().replace("\\", "")


def test_a_delta_that_rounding_would_lose_is_in_every_export(base: Path, tmp_path: Path) -> None:
    run = commit_random(tmp_path / "run", base, SPECS[:1], "bfloat16")
    ledger = open_stage(run, None, prepare(), print).ledger
    kept = [dataclasses.replace(delta, fused=False) for delta in ledger.deltas]
    ledger.restore(models.load(base, "bfloat16").model, kept)
    ledger.save(run.adapters)
    export(run, tmp_path / "mlx")
    weights = mx.load(str(tmp_path / "mlx" / "model.safetensors"))
    q, norm = "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"
    assert weights[q].dtype == mx.float32 and weights[norm].dtype == mx.bfloat16
    assert json.loads((tmp_path / "mlx" / "config.json").read_text())["torch_dtype"] == "float32"
    pristine = mx.load(str(base / "model.safetensors"))[q].astype(mx.bfloat16)
    assert far(weights[q], pristine.astype(mx.float32) + kept[0].change(q.removesuffix(".weight"))) < 1e-6


def quantized(base: Path, folder: Path) -> Path:
    """4 bits, but for two modules that have 8, which config.json says of each by name."""
    model, config = load_model(base)
    finer = {f"model.layers.1.self_attn.{name}_proj": {"group_size": 32, "bits": 8} for name in "qk"}
    nn.quantize(model, 32, 4, class_predicate=lambda path, module: finer.get(path, isinstance(module, nn.Linear)))
    shutil.copytree(base, folder)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config | {"quantization": {"group_size": 32, "bits": 4, **finer}}))
    return folder


def test_a_quantized_base_keeps_what_was_not_touched_packed(base: Path, tmp_path: Path) -> None:
    run = commit_random(tmp_path / "run", quantized(base, tmp_path / "packed"), SPECS[:1])
    said = export(run, tmp_path / "mlx")
    assert "transformers will not load" in said[1]
    assert said[1].rstrip(".") in (tmp_path / "mlx" / "README.md").read_text().replace("The base", "the base")
    model, _ = load_model(tmp_path / "mlx")
    kinds = {path: type(module) for path, module in model.named_modules()}
    for layer in (0, 1):
        assert kinds[f"model.layers.{layer}.self_attn.q_proj"] is nn.Linear
        assert kinds[f"model.layers.{layer}.self_attn.k_proj"] is nn.QuantizedLinear
    assert far(model(IDS), engine_logits(run)) < CLOSE
    export(run, tmp_path / "one", "adapter")
    adapted = load_adapters(load_model(tmp_path / "packed")[0], str(tmp_path / "one"))
    assert far(adapted(IDS), engine_logits(run)) < CLOSE
    with pytest.raises(InputError, match="quantized as only MLX reads it"):
        export(run, tmp_path / "peft", "peft")
    assert not (tmp_path / "peft").exists()


def mixture(base: Path, folder: Path) -> Path:
    """A tiny mixture of experts with the tensors named as its makers name them: one for each expert."""
    config = json.loads((base / "config.json").read_text()) | {
        "model_type": "qwen3_moe", "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
    }  # fmt: skip
    mx.random.seed(3)
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
    weights = {}
    for name, array in tree_flatten(model.parameters()):
        stacked = name.partition(".switch_mlp.")
        pieces = [(f"{stacked[0]}.experts.{i}.{stacked[2]}", array[i]) for i in range(3)] if stacked[1] else []
        weights |= dict(pieces or [(name, array)])
    shutil.copytree(base, folder)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_experts_of_a_mixture_go_back_under_their_own_names(base: Path, tmp_path: Path) -> None:
    model = mixture(base, tmp_path / "mixture")
    run = commit_random(tmp_path / "run", model, (AdapterSpec(2, 2.0, ("q_proj", "down_proj"), 1), SPECS[0]))
    assert len(export(run, tmp_path / "mlx")) == 1
    tensors, originals = (mx.load(str(folder / "model.safetensors")) for folder in (tmp_path / "mlx", model))
    assert {name: a.shape for name, a in tensors.items()} == {name: a.shape for name, a in originals.items()}
    changed = {name for name in tensors if not mx.array_equal(tensors[name], originals[name])}
    experts = {f"model.layers.1.mlp.experts.{i}.down_proj.weight" for i in range(3)}
    assert changed == experts | {f"model.layers.{i}.self_attn.{n}_proj.weight" for i in (0, 1) for n in "qv"}
    assert far(load_model(tmp_path / "mlx")[0](IDS), engine_logits(run)) < CLOSE
    export(run, tmp_path / "one", "adapter")
    adapted = load_adapters(load_model(model)[0], str(tmp_path / "one"))
    assert far(adapted(IDS), engine_logits(run)) < CLOSE
    with pytest.raises(InputError, match="experts of a mixture"):
        export(run, tmp_path / "peft", "peft")


def test_two_tensors_alike_have_no_place(base: Path, tmp_path: Path) -> None:
    """Content tells a place only where it is the only one of its kind; else the folder is written in mlx-lm's names."""
    model = mixture(base, tmp_path / "mixture")
    tensors = mx.load(str(model / "model.safetensors"))
    name = "model.layers.1.mlp.experts.{}.down_proj.weight"
    tensors[name.format(1)] = tensors[name.format(0)]
    mx.save_safetensors(str(tmp_path / "mixture" / "again.safetensors"), tensors)
    (model / "again.safetensors").replace(model / "model.safetensors")
    path = "model.layers.1.mlp.switch_mlp.down_proj"
    assert find_places(model, mx.load(str(model / "model.safetensors")), [path]) is None
    run = commit_random(tmp_path / "run", model, (AdapterSpec(2, 2.0, ("down_proj",), 1),))
    assert "transformers will not load" in export(run, tmp_path / "mlx")[1]
    assert far(load_model(tmp_path / "mlx")[0](IDS), engine_logits(run)) < CLOSE


def test_a_card_for_strangers(run: RunDir, tmp_path: Path) -> None:
    export(run, tmp_path / "out", "peft")
    card = (tmp_path / "out" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "peft" and "base_model" not in head  # a folder here is no name elsewhere
    assert "| Topic 01 (unit-01/chapter-01/topic-01) | not_run | – |" in card
    assert "9 rows of supervised fine-tuning" in card and "rank: 4" in card and "- mlx 0." in card
    assert "- committed changes: 3; model fingerprint" in card
    assert str(tmp_path.parent) not in card


def test_a_card_counts_the_data_of_a_resumed_run_once(run: RunDir) -> None:
    """Every engine that goes on with a run says again what it loaded; the last one is what was trained on."""
    records = read_journal(run.journal)
    loaded = next(record for record in records if isinstance(record.event, e.CurriculumLoaded))
    text = card([*records, loaded, loaded], "mlx", "org/base", 3, "f", None, None)
    assert (
        "3 topics of" in text
        and "9 rows of supervised fine-tuning, 6 preference pairs, 3 held-out questions, never" in text
    )


def test_names_from_elsewhere_are_only_text_in_a_card() -> None:
    assert plain("a|b [c](d)\n# <e> `f` *g* \x1b") == r"a\|b \[c\](d) \# \<e\> \`f\` \*g\*  "


def test_what_cannot_be_exported(run: RunDir, base: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    empty = commit_random(tmp_path / "empty", base, ())
    (tmp_path / "file").write_text("in the way")
    for arguments, sentence in (
        ((run, tmp_path / "taken"), "exists already"),
        ((run, tmp_path / "new", "mlx", 4), "a fused model has no rank"),
        ((empty, tmp_path / "new"), "nothing has been committed"),
        ((run, tmp_path / "file" / "new", "peft"), "cannot be written"),
    ):
        with pytest.raises(InputError, match=sentence):
            export(*arguments)
    assert not (tmp_path / "new").exists()


def test_where_nothing_may_be_written_there_is_no_export(run: RunDir, mounts: bool, tmp_path: Path) -> None:
    if os.geteuid() == 0 and not mounts:
        pytest.skip("permissions do not hold root, and nothing may be mounted here")
    with (
        read_only(tmp_path, mounts),
        pytest.raises(InputError, match=r"/new: (the disk is read-only|it may not be written)$"),
    ):
        export(run, tmp_path / "new", "peft")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_where_no_folder_can_be_made_there_is_no_export(run: RunDir) -> None:
    with pytest.raises(InputError, match=r"^/proc/new: (no folder can be made there|it may not be written)$"):
        export(run, Path("/proc/new"), "peft")


def test_another_base_is_not_exported_in_silence(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    run = commit_random(tmp_path / "run", tmp_path / "model", SPECS[:1])
    other = tiny.make_model(tmp_path / "other", seed=8)
    shutil.copy(other / "model.safetensors", tmp_path / "model")
    with pytest.raises(InputError, match=r"gives model .*, it declares .*; take the base model and the machine"):
        export(run, tmp_path / "mlx")


def test_the_command_says_it_in_one_sentence(run: RunDir, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("mindprint-tui")
    command = [program, "export", run.name, "--logs", run.path.parent, "--to", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.strip() == f"{tmp_path}: exists already; name a folder that does not"


def test_stages(run: RunDir) -> None:
    opened = [open_stage(run, stage, prepare(), print) for stage in (BEFORE, *tiny.TOPICS[:3])]
    assert [len(each.ledger.deltas) for each in opened] == [0, 1, 2, 3]
    whole = json.loads((run.adapters / "ledger.json").read_text())["fingerprint"]
    assert opened[3].ledger.declared == whole
    assert len({each.ledger.declared for each in opened}) == 4
    with pytest.raises(InputError, match="nothing of unit-01/chapter-01/topic-04 has been committed"):
        open_stage(run, tiny.TOPICS[3], prepare(), print)
