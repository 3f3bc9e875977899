"""Converts a llama model in GGUF into a folder that mlx_lm loads.

A GGUF file holds the weights, the vocabulary and the chat template.
"""

import json
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from engine.contract.errors import InputError

RECIPE = 1  # raise it when the content of the folder written here changes
GROUP = 32  # weights that share a scale in GGUF's Q4_0, Q4_1 and Q8_0
CONTROL_TOKEN = 3

TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOKENIZER_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}


def convert(gguf: Path, folder: Path) -> None:
    """Writes config.json, model.safetensors (float32) and the tokenizer's files into the existing `folder`.

    Float32 holds every dequantized weight exactly, so the engine and mlx_lm load the same model from the folder.
    Raises InputError if the file is not a llama model with a byte-level BPE vocabulary of the SmolLM family.
    """
    try:
        loaded = cast(tuple[dict[str, mx.array], dict[str, Any]], mx.load(str(gguf), return_metadata=True))
    except RuntimeError as error:
        raise InputError(f"{gguf} is not a GGUF file that MLX reads: {error}.") from error
    weights, found = loaded
    metadata = {key: value.tolist() if isinstance(value, mx.array) else value for key, value in found.items()}
    kind = tuple(metadata.get(key) for key in ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre"))
    if kind != ("llama", "gpt2", "smollm"):
        raise InputError(f"{gguf} holds {kind}; only a llama model with the smollm tokenizer can be converted.")

    config = model_config(metadata, tied="output.weight" not in weights)
    write_json(folder / "config.json", config)
    converted = model_weights(weights, config["num_attention_heads"], config["num_key_value_heads"])
    mx.save_safetensors(str(folder / "model.safetensors"), converted, {"format": "mlx"})
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", tokenizer_config(metadata))


def model_config(metadata: dict[str, Any], tied: bool) -> dict[str, Any]:
    """Returns the config.json of a llama model; the end token is the tokenizer's."""
    llama = {key.removeprefix("llama."): value for key, value in metadata.items() if key.startswith("llama.")}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": llama["embedding_length"],
        "num_hidden_layers": llama["block_count"],
        "intermediate_size": llama["feed_forward_length"],
        "num_attention_heads": llama["attention.head_count"],
        "num_key_value_heads": llama["attention.head_count_kv"],
        "rms_norm_eps": round(llama["attention.layer_norm_rms_epsilon"], 10),
        "rope_theta": llama["rope.freq_base"],
        "max_position_embeddings": llama["context_length"],
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "float32",
    }


def model_weights(weights: dict[str, mx.array], heads: int, kv_heads: int) -> dict[str, mx.array]:
    """Returns the tensors as float32 arrays under Hugging Face's names, with q and k in its rotary order."""
    converted = {}
    for name in (key for key in weights if key.endswith(".weight")):
        stem = name.removesuffix(".weight")
        weight = dequantized(weights, stem)
        *block, tensor = stem.split(".")  # "blk.7.attn_q" or "token_embd"
        if tensor in ("attn_q", "attn_k"):
            weight = unpermuted(weight, heads if tensor == "attn_q" else kv_heads)
        layer = f"model.layers.{block[1]}." if block else ""
        converted[f"{layer}{TENSORS[tensor]}.weight"] = weight
    return converted


def dequantized(weights: dict[str, mx.array], stem: str) -> mx.array:
    """Returns one tensor in float32, dequantized if `weights` has scales and biases for it."""
    weight = weights[f"{stem}.weight"]
    if f"{stem}.scales" not in weights:
        return weight.astype(mx.float32)
    scales, biases = (weights[f"{stem}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
    bits = weight.shape[-1] * 32 // (scales.shape[-1] * GROUP)
    return mx.dequantize(weight, scales, biases, group_size=GROUP, bits=bits)


def unpermuted(weight: mx.array, heads: int) -> mx.array:
    """Undoes llama.cpp's rotary order in a weight (heads * d, in).

    llama.cpp interleaves the pairs of each head. The result has the two halves of each head one after the other.
    """
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def build_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    """Returns a byte-level BPE tokenizer; each digit is a separate token, and control tokens are never split."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    return tokenizer


def tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns the tokenizer_config.json: the named special tokens, the context length and the chat template."""
    tokens = metadata["tokenizer.ggml.tokens"]
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return TOKENIZER_CONFIG | {
        **{name: tokens[metadata[f"tokenizer.ggml.{key}_token_id"]] for name, key in names.items()},
        "model_max_length": metadata["llama.context_length"],
        "chat_template": metadata["tokenizer.chat_template"],
    }


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes `value` as indented UTF-8 JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
