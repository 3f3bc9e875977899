"""Translates the keys of an mlx-lm configuration: their names here, or why there is none.

Such a file is for `mlx_lm.lora --config`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.contract.wording import short

OWN = frozenset(  # keys of mlx-lm that are not section names here
    "iters lora_parameters fine_tune_type num_layers lora_layers steps_per_report steps_per_eval val_batches "
    "save_every adapter_path resume_adapter_file grad_checkpoint grad_accumulation_steps mask_prompt lr_schedule "
    "max_seq_length batch_size learning_rate test_batches optimizer_config".split()
)
ENOUGH = 2  # this many of them at the top level mark a file as mlx-lm's

RENAMED = {  # same value, other name
    "batch_size": "sft.batch",
    "grad_accumulation_steps": "sft.accumulation",
    "learning_rate": "sft.learning_rate",
    "max_seq_length": "model.max_length",
    "model": "model.name",
    "save_every": "run.checkpoint_every",
    "seed": "run.seed",
    "lora_parameters.rank": "sft.rank",
}
NONE = {
    "adapter_path": "a run keeps its adapters in logs/RUN/adapters; --logs DIR names another folder",
    "resume_adapter_file": "mindprint-tui --resume RUN goes on with a run",
    "train": "mindprint-tui CONFIG trains",
    "test": "each topic is scored before and after each phase",
    "test_batches": "each topic is scored on all of its questions",
    "val_batches": "each topic is scored on all of its questions",
    "steps_per_eval": "each topic is scored before and after each phase",
    "steps_per_report": "every step is journaled",
    "mask_prompt": "a prompt is never trained on, only the answer",
    "grad_checkpoint": "mindprint-tui check predicts the memory that a run takes",
    "clear_cache_threshold": "the cache is cleared between phases",
    "fine_tune_type": "LoRA is the only way of training",
    "optimizer": "AdamW is the only optimizer",
    "optimizer_config": "AdamW is the only optimizer; its weight decay is sft.weight_decay",
    "wandb": "mindprint-tui metrics RUN --wandb does that",
    "report_to": "mindprint-tui metrics RUN --wandb or --tensorboard DIR does that",
    "project_name": "mindprint-tui metrics RUN --wandb --project NAME does that",
    "trust_remote_code": "no code of a model repository is run",
    "config": "the configuration is named on the command line",
    "lora_parameters.dropout": "there is no dropout, so that a run resumes to the same bytes",
    "lr_schedule": "the learning rate falls from sft.learning_rate to 0 as a cosine, after sft.warmup, a share of the "
    "steps",
}


def explain(data: Mapping[str, Any], lines: Mapping[str, int]) -> list[str]:
    """Returns a sentence for each key if this is an mlx-lm configuration; else an empty list.

    `lines` maps each key of the file to its line.
    """
    if len(OWN & data.keys()) < ENOUGH or isinstance(data.get("model"), Mapping):
        return []
    told = []
    for key, value in data.items():
        if key == "lora_parameters" and isinstance(value, Mapping):
            told += [(f"{key}.{name}", _sentence(f"{key}.{name}", inner, data)) for name, inner in value.items()]
        else:
            told.append((key, _sentence(str(key), value, data)))
    return [f"line {lines[key]}: {sentence}" if key in lines else sentence for key, sentence in told]


def _sentence(key: str, value: Any, data: Mapping[str, Any]) -> str:
    if key in CHANGED:
        return f"{key} is here {CHANGED[key](value, data)}"
    if key in RENAMED:
        return f"{key} is here {RENAMED[key]}: {_shown(value)}"
    if key in NONE:
        return f"{key} has no counterpart: {NONE[key]}"
    return f"{key} is not known here"


def _iters(value: Any, data: Mapping[str, Any]) -> str:
    batch = data.get("batch_size", 4)
    rows = f": {value * batch:,} rows" if isinstance(value, int) and isinstance(batch, int) else ""
    return (
        f"sft.epochs: it counts steps of SFT, of batch_size rows each{rows}; sft.epochs counts passes over the rows of "
        "a topic, so divide by their number"
    )


def _data(value: Any, _data: Mapping[str, Any]) -> str:
    folder = _shown(value).rstrip("/")
    return (
        f"curriculum.sft: {folder}/train.jsonl (or the id of a dataset), beside curriculum.path, a folder with "
        "voice.yaml; curriculum.quiz takes the held-out questions"
    )


def _layers(value: Any, _data: Mapping[str, Any]) -> str:
    return "sft.layers: 0, all layers" if value == -1 else f"sft.layers: {_shown(value)}"


def _scale(value: Any, data: Mapping[str, Any]) -> str:
    """Returns sft.alpha for mlx-lm's scale, which it states directly; here the scale is alpha / rank."""
    parameters = data.get("lora_parameters")
    rank = parameters.get("rank", 8) if isinstance(parameters, Mapping) else 8
    if isinstance(value, int | float) and isinstance(rank, int):
        return f"sft.alpha: {value * rank:g}, since the scale is alpha / rank"
    return "sft.alpha: the scale times the rank, since the scale is alpha / rank"


def _keys(value: Any, _data: Mapping[str, Any]) -> str:
    names = [str(name).rpartition(".")[2] for name in value] if isinstance(value, list) else []
    return f"sft.modules: [{', '.join(dict.fromkeys(names))}]" if names else "sft.modules, a list of last words"


def _shown(value: Any) -> str:
    return short(value).strip("'")


CHANGED: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {  # both the name and the value change
    "iters": _iters,
    "data": _data,
    "num_layers": _layers,
    "lora_layers": _layers,
    "lora_parameters.scale": _scale,
    "lora_parameters.keys": _keys,
}
