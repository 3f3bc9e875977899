"""A configuration of mlx-lm is named as one, and its keys are translated truly."""

import inspect
from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.contract.settings import mlx_lm_keys
from engine.contract.settings.load import keys, load_config

THEIRS = """
model: mlx-community/Qwen2.5-7B-Instruct-4bit
train: true
fine_tune_type: lora
data: data/letters
seed: 7
num_layers: -1
batch_size: 2
iters: 600
learning_rate: 1e-5
steps_per_report: 10
adapter_path: adapters
save_every: 100
max_seq_length: 2048
mask_prompt: true
flux: 3
lora_parameters:
  keys: [self_attn.q_proj, self_attn.v_proj]
  rank: 16
  scale: 20.0
  dropout: 0.1
lr_schedule:
  name: cosine_decay
  warmup: 100
"""


def refusal(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "lora_config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config(path)
    return str(caught.value).removeprefix(f"{path}: ").splitlines()


def test_every_key_is_translated_with_its_meaning(tmp_path: Path) -> None:
    head, *lines = refusal(tmp_path, THEIRS)
    assert head == "a configuration of mlx-lm; its keys are called here:"
    assert [line.strip() for line in lines] == [
        "line 2: model is here model.name: mlx-community/Qwen2.5-7B-Instruct-4bit",
        "line 3: train has no counterpart: mindprint-tui CONFIG trains",
        "line 4: fine_tune_type has no counterpart: LoRA is the only way of training",
        "line 5: data is here curriculum.sft: data/letters/train.jsonl (or the id of a dataset), beside "
        "curriculum.path, a folder with voice.yaml; curriculum.quiz takes the held-out questions",
        "line 6: seed is here run.seed: 7",
        "line 7: num_layers is here sft.layers: 0, all layers",
        "line 8: batch_size is here sft.batch: 2",
        "line 9: iters is here sft.epochs: it counts steps of SFT, of batch_size rows each: 1,200 rows; sft.epochs "
        "counts passes over the rows of a topic, so divide by their number",
        "line 10: learning_rate is here sft.learning_rate: 1e-5",
        "line 11: steps_per_report has no counterpart: every step is journaled",
        "line 12: adapter_path has no counterpart: a run keeps its adapters in logs/RUN/adapters; --logs DIR names "
        "another folder",
        "line 13: save_every is here run.checkpoint_every: 100",
        "line 14: max_seq_length is here model.max_length: 2048",
        "line 15: mask_prompt has no counterpart: a prompt is never trained on, only the answer",
        "line 16: flux is not known here",
        "line 18: lora_parameters.keys is here sft.modules: [q_proj, v_proj]",
        "line 19: lora_parameters.rank is here sft.rank: 16",
        "line 20: lora_parameters.scale is here sft.alpha: 320, since the scale is alpha / rank",
        "line 21: lora_parameters.dropout has no counterpart: there is no dropout, so that a run resumes to the same "
        "bytes",
        "line 22: lr_schedule has no counterpart: the learning rate falls from sft.learning_rate to 0 as a cosine, "
        "after sft.warmup, a share of the steps",
    ]


@pytest.mark.parametrize(
    "text", ["curriculum: {path: x}\nsft: {iters: 3}\n", "training: {num_layers: 3, batch_size: 4}\n", "model: x\n"]
)
def test_other_files_are_not_taken_for_one(tmp_path: Path, text: str) -> None:
    assert "mlx-lm" not in refusal(tmp_path, text)[0]


def test_the_tables_name_keys_that_there_are() -> None:
    assert set(mlx_lm_keys.RENAMED.values()) <= keys()


def test_every_key_of_mlx_lm_is_known() -> None:
    lora = pytest.importorskip("mlx_lm.lora")
    tables = {*mlx_lm_keys.RENAMED, *mlx_lm_keys.NONE, *mlx_lm_keys.CHANGED, "lora_parameters"}
    assert set(lora.CONFIG_DEFAULTS) <= tables, inspect.getfile(lora)
