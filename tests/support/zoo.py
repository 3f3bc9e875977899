"""Tiny random models of many architectures, float or quantized, with a reduced tokenizer.

The tokenizer is SmolLM2's.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import tiny
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import _get_classes

from engine.model import loading

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": tiny.VOCABULARY,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "eos_token_id": 2,
}
HEADS = SIZES | {"head_dim": 16}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "num_experts": 4}
GEMMA_3 = {"sliding_window": 32, "sliding_window_pattern": 2, "query_pre_attn_scalar": 16}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": HEADS | {"tie_word_embeddings": False},
    "mistral": HEADS,
    "qwen2": SIZES | {"tie_word_embeddings": True},
    "qwen3": HEADS | {"tie_word_embeddings": False},
    "gemma": HEADS,
    "gemma2": HEADS | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 16},
    "gemma3": {"text_config": HEADS | GEMMA_3 | {"model_type": "gemma3_text"}, "vocab_size": tiny.VOCABULARY},
    "phi3": SIZES,
    "phi": SIZES | {"partial_rotary_factor": 0.5, "layer_norm_eps": 1e-5},
    "mixtral": SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": HEADS
    | EXPERTS
    | {"decoder_sparse_step": 1, "norm_topk_prob": True, "mlp_only_layers": [], "tie_word_embeddings": False},
    "lfm2": SIZES
    | {"norm_eps": 1e-5, "conv_bias": False, "conv_L_cache": 3, "block_dim": 64, "block_ff_dim": 128}
    | {"block_multiple_of": 8, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False}
    | {"full_attn_idxs": [1]},
}
ATTENTION, DENSE = ("q_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
MODULES = {kind: (*ATTENTION, *DENSE) for kind in ARCHITECTURES} | {
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "phi": ("q_proj", "v_proj", "dense", "fc1", "fc2"),
    "lfm2": ("q_proj", "in_proj", "w1", "w2"),  # the first layer has no attention, the second has no convolution
}


def make(
    kind: str,
    folder: Path,
    bits: int = 0,
    loudness: float = 1.0,
    mode: str = "affine",
    more: dict[str, Any] | None = None,
) -> Path:
    """Writes a model folder that engine.model.loading.load can load.

    The weights are multiplied by `loudness`. `more` are values of config.json.
    """
    config = ARCHITECTURES[kind] | {"model_type": kind} | (more or {})
    model_class, arguments = _get_classes(config)
    mx.random.seed(7)
    model = model_class(arguments.from_dict(config))
    if loudness != 1.0:
        model.update(tree_map(lambda array: array * loudness, model.parameters()))
    return write(folder, model, config, bits, mode)


def write(folder: Path, model: nn.Module, config: dict[str, Any], bits: int, mode: str = "affine") -> Path:
    """Writes the model as a folder with the reduced tokenizer, quantized if `bits` is not 0."""
    source = loading.locate("smollm2-135m-instruct", print)
    folder.mkdir(parents=True)
    shutil.copy(source / "tokenizer_config.json", folder)
    (folder / "tokenizer.json").write_text(tiny.cut_tokenizer(source / "tokenizer.json"))
    if bits:
        packing: dict[str, Any] = {"group_size": 32, "bits": bits, "mode": mode}
        nn.quantize(model, **packing, class_predicate=_fits)
        config = config | {"quantization": packing}
    (folder / "config.json").write_text(json.dumps(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder


def _fits(_path: str, module: nn.Module) -> bool:
    return hasattr(module, "to_quantized") and module.weight.shape[-1] % 32 == 0
