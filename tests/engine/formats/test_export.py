"""What an export says to other tools: the same logits as the engine's model, under the names that they look for."""

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
import tiny
import yaml
from committed import commit_random, committed
from disks import read_only
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3_moe
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model, save_model
from msgspec.structs import replace

from engine.adapters.committed_model import open_stage
from engine.adapters.deltas import save_delta
from engine.adapters.lora import AdapterSpec
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.store import JournalWriter, read_journal
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from engine.contract.vocabulary import BASE
from engine.export import export
from engine.formats import adapter_folders, low_rank
from engine.formats.fused_model import find_places
from engine.formats.model_card import card, plain
from engine.model import loading
from engine.model.backend import prepare

SPECS = (  # different ranks, modules and layers
    AdapterSpec(4, 2.0, ("q_proj", "v_proj"), 0),
    AdapterSpec(2, 1.0, ("v_proj", "up_proj", "down_proj"), 1),
    AdapterSpec(3, 0.5, ("q_proj", "o_proj"), 0),
)
IDS = mx.array([[1, 40, 300, 7, 512, 90, 3]])
PROGRAM = Path(sys.executable).with_name("mindprint-tui")
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
    assert far(model(IDS), engine_logits(run)) < CLOSE < far(model(IDS), engine_logits(run, BASE))
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
    assert settings["base_model_name_or_path"] == base.name
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
    whole = low_rank.combined(ledger.deltas)
    for rank in (1, 3, 7):
        cut, loss = low_rank.truncated(whole, rank)
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
    assert f"rank 3 loses {low_rank.truncated(whole, 3)[1].whole:.2%} of the change" in said[1]
    assert str(low_rank.truncated(whole, 3)[1]) in (tmp_path / "cut" / "README.md").read_text().replace("\\", "")


def test_a_delta_that_rounding_would_lose_is_in_every_export(base: Path, tmp_path: Path) -> None:
    run = commit_random(tmp_path / "run", base, SPECS[:1], "bfloat16", fused=False)
    kept = open_stage(run, None, prepare(), print).ledger.deltas
    said = export(run, tmp_path / "mlx")
    assert said[1] == f"{len(kept[0].paths)} weights are in float32, since rounding would lose what they learned"
    weights = mx.load(str(tmp_path / "mlx" / "model.safetensors"))
    q, norm = "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"
    assert weights[q].dtype == mx.float32 and weights[norm].dtype == mx.bfloat16
    assert json.loads((tmp_path / "mlx" / "config.json").read_text())["torch_dtype"] == "float32"
    pristine = mx.load(str(base / "model.safetensors"))[q].astype(mx.bfloat16)
    assert far(weights[q], pristine.astype(mx.float32) + kept[0].change(q.removesuffix(".weight"))) < 1e-6


def test_a_delta_kept_beside_experts_goes_back_under_their_own_names(base: Path, tmp_path: Path) -> None:
    model, spec = mixture(base, tmp_path / "mixture"), AdapterSpec(2, 2.0, ("down_proj",), 1)
    run = commit_random(tmp_path / "run", model, (spec,), "bfloat16", fused=False)
    kept = open_stage(run, None, prepare(), print).ledger.deltas
    assert len(export(run, tmp_path / "mlx")) == 2
    name, path = "model.layers.1.mlp.experts.{}.down_proj.weight", "model.layers.1.mlp.switch_mlp.down_proj"
    weights, pristine = (mx.load(str(folder / "model.safetensors")) for folder in (tmp_path / "mlx", model))
    for expert, change in enumerate(kept[0].change(path)):
        was = pristine[name.format(expert)].astype(mx.bfloat16).astype(mx.float32)
        assert far(weights[name.format(expert)], was + change) < 1e-6


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
    assert find_places(model, [path]) is None
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


def test_no_path_of_the_author_s_machine_is_in_a_card(run: RunDir, tmp_path: Path) -> None:
    """A source may be a path, or a mapping with one, and each is made absolute as the configuration is read."""
    sources = {"path": "cur", "sft": "rows/train.parquet", "preferences": {"path": "./prefs"}, "quiz": "q.jsonl"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"curriculum": sources}))
    settings = dataclasses.asdict(load_config(tmp_path / "c.yaml"))
    assert str(tmp_path) in str(settings["curriculum"]["sft"])
    records = read_journal(run.journal)
    started = next(record for record in records if isinstance(record.event, e.RunStarted))
    event = replace(started.event, settings=json.loads(json.dumps(settings)))
    text = card([replace(started, event=event), *records[1:]], "mlx", "org/base", 3, "f", None, None)
    assert str(tmp_path) not in text and str(tmp_path.parent) not in text
    assert "path: train.parquet" in text and "path: prefs" in text and "path: q.jsonl" in text


def test_a_card_counts_the_data_of_a_resumed_run_once(run: RunDir) -> None:
    """Every engine that goes on with a run says again what it loaded; the last one is what was trained on."""
    records = read_journal(run.journal)
    loaded = next(record for record in records if isinstance(record.event, e.CurriculumLoaded))
    text = card([*records, loaded, loaded], "mlx", "org/base", 3, "f", None, None)
    assert (
        "3 topics of" in text
        and "9 rows of supervised fine-tuning, 6 preference pairs, 3 held-out questions, never" in text
    )


def adapter(phase: e.Phase, state: Any, **more: Any) -> e.AdapterChanged:
    return e.AdapterChanged(tiny.TOPICS[0], phase, state, 4, 2.0, 4, 0, 0, 1, "b", "m", 1, **more)


def evaluated(stage: e.Stage, score: float) -> e.Evaluated:
    return e.Evaluated(tiny.TOPICS[0], stage, score, score, score, {}, None, "ok", 1.0)


SFT_SCORED = (e.TopicStarted(tiny.TOPICS[0], 1, 2), evaluated("before", 0.1), evaluated("sft", 0.9))
SKIPPED = e.TopicFinished(tiny.TOPICS[0], "skipped", "skipped by a person", 1.0)
FUSED, BESIDE = (adapter("sft", state, fuse_cosine=0.9991) for state in ("fused", "kept_attached"))


def said_of(run: RunDir, *events: e.Event) -> str:
    """The card of a run in which these followed its first three events."""
    records = [*read_journal(run.journal)[:3], *(Record(9 + n, 9.0 + n, event) for n, event in enumerate(events))]
    return card(records, "mlx", "org/base", 2, "f", None, None)


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ((adapter("sft", "detached"), SKIPPED), "(0.90)"),  # taken off by a person after it was scored
        ((evaluated("dpo", 0.8), adapter("dpo", "detached"), SKIPPED), "(0.90)"),  # a shared adapter, gone with its DPO
        ((), "(0.90)"),  # not committed yet
        ((FUSED, SKIPPED), "0.90"),
        ((evaluated("dpo", 0.8), adapter("dpo", "fused"), SKIPPED), "0.90"),
    ],
)
def test_scores_of_what_is_not_in_the_model_are_in_brackets(
    run: RunDir, events: tuple[e.Event, ...], shown: str
) -> None:
    text = said_of(run, *SFT_SCORED, *events)
    (line,) = (line for line in text.splitlines() if line.startswith("| Topic 01"))
    assert [cell.strip() for cell in line.split("|")][7:9] == [shown, shown]


def test_the_lowest_cosine_is_of_what_is_fused_in_this_model(run: RunDir) -> None:
    lost = replace(BESIDE, fuse_cosine=0.9372)
    assert "lowest cosine" not in said_of(run, lost), "it is beside the weights, exactly"
    dropped = (adapter("dpo", "fused", fuse_cosine=0.42), adapter("dpo", "rolled_back"))
    assert "applied change: 0.999100" in said_of(run, FUSED, *dropped, lost, FUSED)


def test_a_card_says_that_the_run_had_not_ended(run: RunDir) -> None:
    end = e.RunFinished(1, 2, 1, "f", 1.0)
    unfinished = "The run had not come to its end when this was written."
    assert unfinished in said_of(run) and unfinished not in said_of(run, end)
    assert unfinished in said_of(run, end, e.EngineRestarted(None, None, 1))


def test_a_card_counts_nothing_that_a_running_run_committed_meanwhile(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    live, real = RunDir(tmp_path / "run"), loading.load

    def load(*arguments: object) -> loading.LoadedModel:
        journal = JournalWriter(live.journal)
        journal.append(e.TopicFinished(tiny.TOPICS[0], "passed", "meanwhile", 1.0))
        journal.close()
        return real(*arguments)

    monkeypatch.setattr(loading, "load", load)
    export(live, tmp_path / "out", "adapter")
    assert "0 of 3 topics passed" in (tmp_path / "out" / "README.md").read_text()


def test_a_damaged_first_line_costs_the_versions_and_no_export(run: RunDir, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    copy = RunDir(tmp_path / "run")
    copy.journal.write_bytes(b"{damaged\n" + copy.journal.read_bytes().partition(b"\n")[2])
    export(copy, tmp_path / "out", "adapter")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "# run\n" in text and "rank: 4" in text and text.endswith("## Versions\n\nNot known.\n")


@pytest.mark.parametrize("way", ["deleted", "an older one", "another model"])
def test_a_ledger_that_is_not_that_of_the_journal_is_refused(run: RunDir, tmp_path: Path, way: str) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    copy = RunDir(tmp_path / "run")
    ledger, words = open_stage(copy, None, prepare(), print).ledger, "is missing, but the journal has it as committed"
    if way == "deleted":
        (copy.adapters / "ledger.json").unlink()
    elif way == "an older one":
        ledger.drop(ledger.deltas[-1].topic)
        ledger.save(copy.adapters)
    else:
        journal = JournalWriter(copy.journal)
        journal.append(replace(committed(ledger.deltas[-1], ledger), model_fingerprint="0" * 16))
        journal.close()
        words = "the journal has 0000000000000000"
    with pytest.raises(InputError, match=rf"ledger\.json: .*{words}; put the file back from a copy"):
        open_stage(copy, None, prepare(), print)


def test_names_from_elsewhere_are_only_text_in_a_card() -> None:
    assert plain("a|b [c](d)\n# <e> `f` *g* \x1b") == r"a\|b \[c\](d) \# \<e\> \`f\` \*g\*  "


def test_what_cannot_be_exported(run: RunDir, base: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    empty = commit_random(tmp_path / "empty", base, ())
    (tmp_path / "file").write_text("in the way")
    for arguments, sentence in (
        ((run, tmp_path / "taken"), "exists already"),
        ((run, tmp_path / "new", "mlx", 4), "a fused model has no rank"),
        ((run, tmp_path / "new[1]"), r"reads \* \? \[ in a path as a pattern"),
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
    for stage in (BASE, tiny.TOPICS[0], None):
        with pytest.raises(
            InputError, match=r"the base model is .*, the run began on .*; take the base model and the "
        ):
            open_stage(run, stage, prepare(), print)
    with pytest.raises(InputError, match="the base model is"):
        export(run, tmp_path / "mlx")


def test_another_base_is_a_sentence_where_the_journal_does_not_tell_which_it_was(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    run = commit_random(tmp_path / "run", tmp_path / "model", SPECS[:1])
    lines = run.journal.read_bytes().splitlines(keepends=True)
    run.journal.write_bytes(b"".join(line for line in lines if b"model_loaded" not in line))
    for hidden, words in (
        (64, r"the deltas give model \w+, the run had \w+; "),
        (128, "does not fit the base model; "),
    ):
        other = tiny.make_model(tmp_path / f"other-{hidden}", hidden=hidden, seed=8)
        for name in ("model.safetensors", "config.json"):
            shutil.copy(other / name, tmp_path / "model")
        for stage in (tiny.TOPICS[0], None):
            with pytest.raises(InputError, match=words + "take the base model and the machine"):
                open_stage(run, stage, prepare(), print)


def test_the_command_says_it_in_one_sentence(run: RunDir, tmp_path: Path) -> None:
    command = [PROGRAM, "export", run.name, "--logs", run.path.parent, "--to", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.strip() == f"{tmp_path}: exists already; name a folder that does not"


def test_stages(run: RunDir) -> None:
    opened = [open_stage(run, stage, prepare(), print) for stage in (BASE, *tiny.TOPICS[:3])]
    assert [len(each.ledger.deltas) for each in opened] == [0, 1, 2, 3]
    whole = json.loads((run.adapters / "ledger.json").read_text())["fingerprint"]
    assert opened[3].ledger.declared == whole
    assert len({each.ledger.declared for each in opened}) == 4
    with pytest.raises(InputError, match="nothing of unit-01/chapter-01/topic-04 is committed"):
        open_stage(run, tiny.TOPICS[3], prepare(), print)


def test_a_stage_is_as_it_was_before_an_earlier_topic_was_trained_again(
    run: RunDir, base: Path, tmp_path: Path
) -> None:
    was = open_stage(run, tiny.TOPICS[1], prepare(), print).ledger.declared
    shutil.copytree(run.path, tmp_path / "run")
    again, journal = RunDir(tmp_path / "run"), JournalWriter(tmp_path / "run" / "journal.jsonl")
    ledger = open_stage(again, None, prepare(), print).ledger
    first = ledger.deltas[0]
    ledger.drop(first.topic)
    journal.append(replace(committed(first, ledger), state="rolled_back"))
    new = dataclasses.replace(first, name=first.name.replace("001", "004"), weights=halved(first.weights))
    save_delta(again.adapters / new.name, new, ledger.model)
    ledger.restore(ledger.model, [*ledger.deltas, new])
    journal.append(committed(new, ledger))
    journal.close()
    ledger.save(again.adapters)
    stages = {stage: open_stage(again, stage, prepare(), print).ledger for stage in tiny.TOPICS[:3]}
    assert [[delta.name[:3] for delta in each.deltas] for each in stages.values()] == [
        ["002", "003", "004"],
        ["001", "002"],
        ["001", "002", "003"],
    ]
    assert stages[tiny.TOPICS[1]].declared == was and stages[tiny.TOPICS[0]].declared == ledger.declared
    lines = again.journal.read_bytes().splitlines(keepends=True)
    again.journal.write_bytes(b"".join([*lines[:3], b"{damaged\n", *lines[4:]]))
    for stage in tiny.TOPICS[1:3]:
        with pytest.raises(InputError, match=r"a line about the commits up to .* is damaged or missing"):
            open_stage(again, stage, prepare(), print)


def halved(weights: dict[str, mx.array]) -> dict[str, mx.array]:
    return {name: 0.5 * array for name, array in weights.items()}


def test_what_is_committed_while_the_model_is_loaded_is_not_in_the_stage(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on training: ledger.json is read once, and what it lists then is what is loaded."""
    shutil.copytree(run.path, tmp_path / "run")
    live = RunDir(tmp_path / "run")
    whole, journal = (live.adapters / "ledger.json").read_text(), live.journal.read_bytes()
    early = open_stage(live, tiny.TOPICS[1], prepare(), print).ledger
    early.save(live.adapters)
    live.journal.write_bytes(b"".join(journal.splitlines(keepends=True)[:-1]))  # without the last commit
    real = loading.load

    def load(*arguments: object) -> loading.LoadedModel:
        (live.adapters / "ledger.json").write_text(whole)
        live.journal.write_bytes(journal)
        return real(*arguments)

    monkeypatch.setattr(loading, "load", load)
    assert open_stage(live, None, prepare(), print).ledger.declared == early.declared


# --- the folder that is made, and what stands beside it


def test_what_appears_at_the_target_meanwhile_stays(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, real = tmp_path / "mine", adapter_folders.write_adapter

    def write(*arguments: object) -> None:
        mine.mkdir()
        (mine / "thesis.txt").write_text("years of work")
        real(*arguments)

    monkeypatch.setattr(adapter_folders, "write_adapter", write)
    with pytest.raises(InputError, match="mine: exists already; name a folder that does not"):
        export(run, mine, "adapter")
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_of_the_person_s_own_beside_the_target_stays(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".voice.old").mkdir()
    (tmp_path / ".voice.old" / "precious").write_text("x")
    export(run, tmp_path / "voice", "adapter")
    assert (tmp_path / ".voice.old" / "precious").read_text() == "x"
    shutil.rmtree(tmp_path / "voice")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(adapter_folders, "write_adapter", full)
    with pytest.raises(InputError, match="voice: the disk is full"):
        export(run, tmp_path / "voice", "adapter")
    assert [path.name for path in tmp_path.iterdir()] == [".voice.old"]


SLOW = """
import shutil, time
copy = shutil.copy
def slowly(*arguments):
    copy(*arguments)
    time.sleep(600)
shutil.copy = slowly
"""


@pytest.mark.parametrize(
    ("to", "number", "status"),
    [
        ("everyone", signal.SIGINT, 130),
        ("everyone", signal.SIGHUP, 130),
        ("the command", signal.SIGTERM, 130),
        ("the engine", signal.SIGKILL, 3),
    ],
)
def test_an_export_that_is_ended_leaves_nothing(
    to: str, number: int, status: int, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it writes: by Ctrl-C, by a terminal that is closed, by a person, by the system for want of memory."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'slow'}:{tiny.ROOT}")
    there = tmp_path / "there"
    there.mkdir()
    command = [PROGRAM, "export", str(run.path), "--to", str(there / "mine")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (half := list(there.glob(".mine.*/*"))):
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    engine = int(half[0].parent.name.rpartition(".")[2])
    if to == "everyone":
        os.killpg(child.pid, number)
    else:
        os.kill(engine if to == "the engine" else child.pid, number)
    out, err = child.communicate()
    assert child.returncode == status and list(there.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
    words = f"{there / 'mine'}: the export died (signal 9), and nothing was written; most likely the memory did not"
    assert out == "" and (err.startswith(words) if status == 3 else err == "")
