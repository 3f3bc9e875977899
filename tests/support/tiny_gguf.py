"""Tiny Llama in a GGUF file, for tests of conversion and loading."""

from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
from tokenizers import pre_tokenizers

from engine.model import gguf

WIDTH, INNER, HEADS, KV_HEADS = 64, 96, 4, 2


@dataclass
class Tiny:
    """A Llama with two layers and random weights: its GGUF file, and its weights by Hugging Face name."""

    path: Path
    weights: dict[str, mx.array]


def make_tiny(folder: Path) -> Tiny:
    """Writes the GGUF file into `folder`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, "Ġt", "he", "Ġthe"]
    shapes = {f"model.layers.{i}.{name}": shape for i in range(2) for name, shape in layer_shapes().items()}
    shapes |= {"model.embed_tokens": (len(tokens), WIDTH), "model.norm": (WIDTH,)}
    weights = {f"{name}.weight": mx.random.normal(shape) * 0.1 for name, shape in shapes.items()}
    theirs = {ours: name for name, ours in gguf.TENSORS.items()}
    stored = {}
    for name, weight in weights.items():
        _, _, rest = name.partition("model.layers.")
        layer, _, tensor = rest.partition(".") if rest else ("", "", name)
        heads = {"self_attn.q_proj.weight": HEADS, "self_attn.k_proj.weight": KV_HEADS}.get(tensor)
        short = theirs[tensor.removesuffix(".weight")]
        stored[f"blk.{layer}.{short}.weight" if rest else f"{short}.weight"] = (
            permuted(weight, heads) if heads else weight
        )
    path = folder / "tiny.gguf"
    mx.save_gguf(str(path), stored, metadata(tokens))
    return Tiny(path, weights)


def permuted(weight: mx.array, heads: int) -> mx.array:
    """Permutes q or k as llama.cpp's converter does: interleaves the two halves of each head."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def layer_shapes() -> dict[str, tuple[int, ...]]:
    kv = WIDTH * KV_HEADS // HEADS
    return {
        "input_layernorm": (WIDTH,),
        "post_attention_layernorm": (WIDTH,),
        "self_attn.q_proj": (WIDTH, WIDTH),
        "self_attn.k_proj": (kv, WIDTH),
        "self_attn.v_proj": (kv, WIDTH),
        "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.gate_proj": (INNER, WIDTH),
        "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
    }


def metadata(tokens: list[str]) -> dict[str, mx.array | str | list[str]]:
    numbers = {
        "llama.embedding_length": WIDTH,
        "llama.block_count": 2,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.context_length": 128,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    return {
        **{key: mx.array(value, mx.uint32) for key, value in numbers.items()},
        "llama.attention.layer_norm_rms_epsilon": mx.array(1e-5),
        "llama.rope.freq_base": mx.array(10000.0),
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": ["Ġ t", "h e", "Ġt he"],
        "tokenizer.ggml.token_type": mx.array([3] * 3 + [1] * (len(tokens) - 3), mx.int32),
        "tokenizer.chat_template": "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}",
    }
