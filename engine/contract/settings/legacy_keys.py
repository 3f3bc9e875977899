"""Translates configuration keys of other programs: their names here, or why there is none.

The earlier system's own file is lost. The table comes from the names in its documents and from the usual names in such
files (Hugging Face's and PEFT's). So only the last word of a key counts, however deep it is nested.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from engine.contract.wording import short

DEPTH, MOST = 6, 400  # most levels and most keys of a file that are checked
PHASES = ("sft", "dpo")

NEW = {  # the new key: last words of earlier keys; * stands for the phase, sft or dpo
    "*.rank": "r rank lora_r lora_rank",
    "*.alpha": "alpha lora_alpha",
    "*.modules": "modules target_modules lora_target_modules",
    "*.layers": "layers num_layers lora_layers",
    "*.batch": "batch batch_size per_device_train_batch_size train_batch_size micro_batch_size",
    "*.accumulation": "accumulation gradient_accumulation_steps grad_accumulation_steps accumulation_steps",
    "*.learning_rate": "lr learning_rate",
    "*.warmup": "warmup warmup_ratio",
    "*.clip": "clip max_grad_norm grad_clip gradient_clipping",
    "*.weight_decay": "weight_decay",
    "sft.epochs": "epochs num_epochs num_train_epochs",
    "dpo.steps": "steps max_steps num_steps iters",
    "dpo.beta": "beta dpo_beta",
    "dpo.when": "enabled dpo_enabled enable_dpo run_dpo use_dpo",
    "adapters.strategy": "merge_after_sft merge_after_dpo merge_between merge_adapters merge_strategy adapter_strategy",
    "model.name": "base_model model_name model_name_or_path model_id model_path",
    "model.dtype": "dtype torch_dtype bf16 fp16 precision",
    "model.max_length": "max_length max_seq_length max_seq_len model_max_length cutoff_len",
    "curriculum.path": "data_dir data_path dataset_dir curriculum_dir curriculum_path training_data_dir",
    "curriculum.sft": "sft_data sft_data_path sft_file sft_path train_file",
    "curriculum.preferences": "preference_data preference_data_path preference_file preference_path dpo_data",
    "curriculum.quiz": "quiz_data quiz_path quiz_file eval_data test_file",
    "thresholds.accuracy": "accuracy accuracy_threshold min_accuracy",
    "thresholds.voice": "voice voice_threshold min_voice voice_score_threshold",
    "thresholds.dpo_trigger": "dpo_trigger dpo_trigger_threshold dpo_threshold",
    "evaluation.max_tokens": "max_tokens max_new_tokens eval_max_tokens",
    "evaluation.batch": "eval_batch_size per_device_eval_batch_size",
    "run.seed": "seed random_seed",
    "run.retries": "retries max_retries max_attempts",
    "run.checkpoint_every": "save_steps save_every checkpoint_every checkpoint_interval",
    "run.name": "run_name experiment_name project_name",
}
NONE = {  # why there is no such key: last words of earlier keys
    "a share of the steps is given instead, as sft.warmup and dpo.warmup": "warmup_steps",
    "DPO counts optimizer steps, as dpo.steps": "dpo_epochs dpo_num_epochs",
    "there is no dropout, so that a run resumes to the same bytes": "dropout lora_dropout",
    "only LoRA factors are trained; there is nothing to choose": "bias task_type peft_type use_rslora fine_tune_type",
    "model.max_length counts prompt and answer together": "max_prompt_length max_completion_length max_target_length",
    "a topic passes by thresholds.accuracy and thresholds.voice, each by itself": "combined_threshold pass_threshold "
    "overall_threshold min_score",
    "nothing is quantized here; name a quantized model's folder in model.name": "load_in_4bit load_in_8bit "
    "quantization quantize bits bnb_4bit_compute_dtype",
    "answers are greedy, so that scores compare": "temperature top_p top_k do_sample repetition_penalty",
    "give it on the command line, as --logs DIR": "output_dir log_dir logs_dir checkpoint_dir adapter_dir save_dir",
    "device and backend are chosen as the engine starts": "backend device device_map framework use_mlx use_mps use_gpu",
    "AdamW with a warm-up and a cosine down to 0 is the only optimizer": "optim optimizer lr_scheduler_type "
    "lr_scheduler lr_schedule",
    "DPO has the sigmoid loss, and its reference is the model as DPO begins": "loss_type reference_free ref_model "
    "reference_model label_smoothing",
    "every step and every answer is journaled": "logging_steps log_interval eval_steps eval_every report_to verbose "
    "log_level",
    "rows are not packed; memory is what `mindprint-tui check` predicts": "packing gradient_checkpointing use_cache "
    "dataloader_num_workers",
    "the chat template is the model's own": "chat_template prompt_template template system_prompt",
}
BY_NAME = {name: new for new, names in NEW.items() for name in names.split()}
WHY_NOT = {name: why for why, names in NONE.items() for name in names.split()}


def explain(data: Mapping[str, Any], known: Collection[str], lines: Mapping[str, int]) -> list[str]:
    """Returns a sentence for each unknown key if at least one is an earlier system's; else an empty list.

    `known` has the dotted keys that exist. `lines` maps each key of the file to its line.
    """
    leaves = islice(_leaves(data, "", 0), MOST)
    strange = [(key, value) for key, value in leaves if not _is_known(key, known)]
    sentences = [(key, _sentence(key, value, known)) for key, value in strange]
    if all(sentence is None for _, sentence in sentences):
        return []
    told = [(key, sentence or f"{key} is not known here") for key, sentence in sentences]
    return [f"line {lines[key]}: {sentence}" if key in lines else sentence for key, sentence in told]


def _sentence(key: str, value: Any, known: Collection[str]) -> str | None:
    parts = key.split(".")
    word, tail = parts[-1].lower(), ".".join(parts[-2:])
    if word in WHY_NOT:
        return f"{key} has no counterpart: {WHY_NOT[word]}"
    new = tail if tail in known else BY_NAME.get(word)
    if new is None:
        return None
    phase = next((part for part in parts if part in PHASES), None)
    if phase == "dpo" and new == "sft.epochs":
        return f"{key} is here dpo.steps, which counts optimizer steps"
    if phase == "sft" and new == "dpo.steps":
        return f"{key} is here sft.epochs, which counts passes over the rows"
    if new.startswith("thresholds.") and isinstance(value, int | float) and not 0 <= value <= 1:
        return f"{key} is here {new}, from 0 to 1 and not {value:g}; dpo.when: never is what turns DPO off"
    if new in ("dpo.when", "adapters.strategy", "model.dtype"):
        return f"{key} is here {new}, which takes a word"
    phases = [phase] if phase else PHASES
    names = dict.fromkeys(new.replace("*", name) for name in phases)
    shown = short(value).strip("'")
    return f"{key} is here {' and '.join(f'{name}: {shown}' for name in names)}"


def _is_known(key: str, known: Collection[str]) -> bool:
    parts = key.split(".")
    return any(".".join(parts[:i]) in known for i in range(2, len(parts) + 1))


def _leaves(data: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value and depth < DEPTH:
            yield from _leaves(value, name, depth + 1)
        else:
            yield name, value
