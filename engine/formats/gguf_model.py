"""Writes a run's model as one GGUF file, for llama.cpp, Ollama and LM Studio."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from gguf import MODEL_ARCH, GGUFValueType
from mlx.utils import tree_unflatten

from engine.adapters.ledger import Ledger
from engine.adapters.module_weights import dense, plain_linear
from engine.contract.errors import InputError
from engine.formats import gguf_file
from engine.formats.gguf_file import NUMBER_TYPES, Field, Tensor, Values
from engine.formats.gguf_vocabulary import vocabulary_fields
from engine.model.arrays import leaves

PHI3_TOKENS = {"<unk>", "<s>", "</s>", "<|endoftext|>"}
PARTS = ("weight", "bias", "scales", "biases", "kept_a", "kept_b")
UNSIGNED, REAL, TEXT = GGUFValueType.UINT32, GGUFValueType.FLOAT32, GGUFValueType.STRING


@dataclass(frozen=True, slots=True)
class Architecture:
    """How llama.cpp names a kind of model, and how its weights differ from those of mlx-lm."""

    kind: MODEL_ARCH
    interleaved: bool = False  # the rows of q and k are pairs, not two halves
    norm_offset: float = 0.0  # added to each norm's weights
    scaled_as_largest: int = 0  # number of layers of the size that scales attention by the width of a head's share


ARCHITECTURES = {  # model_type of config.json
    "llama": Architecture(MODEL_ARCH.LLAMA, interleaved=True),
    "mistral": Architecture(MODEL_ARCH.LLAMA, interleaved=True),
    "qwen2": Architecture(MODEL_ARCH.QWEN2),
    "qwen3": Architecture(MODEL_ARCH.QWEN3),
    "gemma": Architecture(MODEL_ARCH.GEMMA, norm_offset=1.0),
    "gemma2": Architecture(MODEL_ARCH.GEMMA2, norm_offset=1.0, scaled_as_largest=46),
    "gemma3": Architecture(MODEL_ARCH.GEMMA3, norm_offset=1.0, scaled_as_largest=62),
    "gemma3_text": Architecture(MODEL_ARCH.GEMMA3, norm_offset=1.0, scaled_as_largest=62),
    "phi3": Architecture(MODEL_ARCH.PHI3),
}


@dataclass(frozen=True, slots=True)
class GgufModel:
    """The plan of a file: metadata and tensors of a model whose architecture llama.cpp knows."""

    architecture: Architecture
    fields: list[Field]
    tensors: list[Tensor]

    def write(self, path: Path, numbers: str) -> None:
        """Writes the file in the number type `numbers`. Raises InputError as gguf_file.write does."""
        fields = [
            *self.fields,
            Field("general.file_type", int(NUMBER_TYPES[numbers][1]), UNSIGNED),
            Field("general.quantization_version", gguf.GGML_QUANT_VERSION, UNSIGNED),
        ]
        gguf_file.write(path, architecture_name(self.architecture), fields, self.tensors, numbers)


def plan(ledger: Ledger, tokenizer: Any, end_id: int, name: str, base: str, context: int) -> GgufModel:
    """Plans the GGUF file of the ledger's model; computes no weight yet.

    `end_id` is the token that ends an answer, `context` the longest text in tokens. Raises InputError if llama.cpp
    cannot compute the model as the engine does: another architecture, tokenizer, kind of rotary embedding or scale of
    attention.
    """
    model: Any = ledger.model
    architecture = architecture_of(model)
    arguments = getattr(model, "language_model", model).args
    names = tensor_names(model, architecture)
    tensors = [_tensor(*each, architecture, arguments) for each in names]
    rows = next(tensor.shape[0] for tensor in tensors if tensor.name == "token_embd.weight")
    fields = [
        Field("general.type", "model", TEXT),
        Field("general.name", _full_name(name, base, tokenizer), TEXT),
        Field("general.base_model.count", 1, UNSIGNED),
        Field("general.base_model.0.name", base, TEXT),
        *_sizes(arguments, architecture, rows, context),
        *_rotary(model, arguments, architecture, tensors),
        *vocabulary_fields(tokenizer, rows, end_id),
    ]
    return GgufModel(architecture, fields, tensors)


def _full_name(name: str, base: str, tokenizer: Any) -> str:
    """Returns the name of the run and its base.

    If phi3 or phi-3 is in a model's name, llama.cpp lets its special tokens swallow the spaces after them, and fails if
    one of Phi 3's own tokens is missing. So the name has phi3 exactly if the tokenizer is Phi 3's.
    """
    added = tokenizer.added_tokens_decoder.values()
    phi3 = any(token.rstrip for token in added) and tokenizer.get_vocab().keys() >= PHI3_TOKENS
    whole = re.sub("phi-?3", "Phi 3", f"{name} ({base})", flags=re.IGNORECASE)
    return f"{whole}, phi3" if phi3 else whole


def load_back(model: Any, file: Path) -> None:
    """Replaces the weights of `model` by those of its GGUF file, dequantized to fp32; norms and biases stay."""
    architecture = architecture_of(model)
    arguments = getattr(model, "language_model", model).args
    places = {
        name: (path, module) for path, part, module, name in tensor_names(model, architecture) if part == "weight"
    }
    for name, values in gguf_file.read_values(file):
        if name not in places or values.ndim == 1:
            continue
        path, module = places[name]
        if heads := split_heads(path, architecture, arguments):
            values = separate(values, heads)
        weight = mx.array(values)
        plain: Any = nn.Embedding(1, 1) if hasattr(module, "as_linear") else plain_linear(module, weight)
        plain.weight = weight
        model.update_modules(tree_unflatten([(path, plain)]))
    mx.eval(model.parameters())


def architecture_of(model: Any) -> Architecture:
    """Returns the architecture's entry. Raises InputError if it has none."""
    if (found := ARCHITECTURES.get(model.model_type)) is None:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"--format gguf does not know the architecture {model.model_type}; it knows {known}")
    return found


def architecture_name(architecture: Architecture) -> str:
    """Returns llama.cpp's name of an architecture."""
    return gguf.MODEL_ARCH_NAMES[architecture.kind]


def tensor_names(model: Any, architecture: Architecture) -> list[tuple[str, str, Any, str]]:
    """Returns (path, weight or bias, module, name in GGUF) for every weight. Raises InputError if one has no name."""
    names = gguf.get_tensor_name_map(architecture.kind, len(model.layers))
    modules = dict(model.named_modules())
    found = []
    for leaf, _ in leaves(model.parameters()):
        path, _, part = leaf.rpartition(".")
        stem = names.get_name(path.removeprefix("language_model."))
        if stem is None or part not in PARTS:
            raise InputError(f"{leaf} has no place in the architecture {architecture_name(architecture)}")
        if part in ("weight", "bias"):
            found.append((path, part, modules[path], f"{stem}.{part}"))
    return found


def head_width(arguments: Any) -> int:
    """Returns the number of values of one attention head."""
    return int(getattr(arguments, "head_dim", None) or arguments.hidden_size // arguments.num_attention_heads)


def _tensor(path: str, part: str, module: Any, name: str, architecture: Architecture, arguments: Any) -> Tensor:
    make: Callable[[], Values] = partial(_values, module, part)
    if heads := split_heads(path, architecture, arguments):
        make = partial(_interleaved, make, heads)
    if architecture.norm_offset and path.endswith("norm"):
        make = partial(_offset, make, architecture.norm_offset)
    return Tensor(name, _shape(module, part), make)


def split_heads(path: str, architecture: Architecture, arguments: Any) -> int:
    """Returns the number of heads in a weight whose rows llama.cpp orders differently; 0 for every other weight."""
    if not architecture.interleaved:
        return 0
    heads = {"q_proj": arguments.num_attention_heads, "k_proj": arguments.num_key_value_heads}
    return int(heads.get(path.rpartition(".")[2], 0))


def _shape(module: Any, part: str) -> tuple[int, ...]:
    if part == "weight" and "scales" in module:
        rows, columns = module.weight.shape
        return rows, columns * 32 // module.bits
    return tuple(module[part].shape)


def _values(module: Any, part: str) -> Values:
    """Returns a module's weight or bias in fp32, dequantized if necessary and with any kept delta added."""
    if part == "bias":
        values = module.bias.astype(mx.float32)
    elif "scales" in module:
        packed = (module.weight, module.scales, module.get("biases"), module.group_size, module.bits)
        values = mx.dequantize(*packed, mode=module.mode).astype(mx.float32)
    else:
        values = dense(module)
    return np.array(values, dtype=np.float32)


def _interleaved(make: Callable[[], Values], heads: int) -> Values:
    """Reorders the rows of q or k: llama.cpp rotates neighbouring pairs of a head, mlx-lm its two halves."""
    return interleave(make(), heads)


def interleave(values: Values, heads: int) -> Values:
    """Reorders the first axis (heads * d) so that the two halves of each head alternate."""
    rows = values.shape[0]
    halves = values.reshape(heads, 2, rows // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def separate(values: Values, heads: int) -> Values:
    """Undoes `interleave`."""
    rows = values.shape[0]
    pairs = values.reshape(heads, rows // heads // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def _offset(make: Callable[[], Values], offset: float) -> Values:
    return make() + np.float32(offset)


def _sizes(arguments: Any, architecture: Architecture, rows: int, context: int) -> list[Field]:
    """Returns the model's sizes. Raises InputError if llama.cpp scales attention differently."""
    name, head = architecture_name(architecture), head_width(arguments)
    _require_scale(arguments, architecture, head)
    if "sliding_attention" in (getattr(arguments, "layer_types", None) or ()):
        raise InputError(f"the layers have sliding attention, which llama.cpp's {name} does not")
    whole = {
        "context_length": context,
        "embedding_length": arguments.hidden_size,
        "block_count": arguments.num_hidden_layers,
        "feed_forward_length": arguments.intermediate_size,
        "attention.head_count": arguments.num_attention_heads,
        "attention.head_count_kv": arguments.num_key_value_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "vocab_size": rows,
    }
    real = {"attention.layer_norm_rms_epsilon": arguments.rms_norm_eps}
    if architecture.kind == MODEL_ARCH.GEMMA2:
        real["attn_logit_softcapping"] = arguments.attn_logit_softcapping
        real["final_logit_softcapping"] = arguments.final_logit_softcapping
        whole["attention.sliding_window"] = context  # mlx-lm attends to the whole text in every layer
    if architecture.kind == MODEL_ARCH.GEMMA3:
        whole["attention.sliding_window"] = arguments.sliding_window
        whole["attention.sliding_window_pattern"] = arguments.sliding_window_pattern
        real["rope.freq_base_swa"] = arguments.rope_local_base_freq
    return [Field(f"{name}.{key}", int(value), UNSIGNED) for key, value in whole.items()] + [
        Field(f"{name}.{key}", float(value), REAL) for key, value in real.items()
    ]


def _require_scale(arguments: Any, architecture: Architecture, head: int) -> None:
    """Raises InputError if attention is not scaled as llama.cpp scales it, which it derives from the sizes."""
    wanted = getattr(arguments, "query_pre_attn_scalar", None)
    if wanted is None or not architecture.scaled_as_largest:
        return
    largest = arguments.num_hidden_layers == architecture.scaled_as_largest
    if wanted != (arguments.hidden_size / arguments.num_attention_heads if largest else head):
        raise InputError(f"query_pre_attn_scalar is {wanted:g}; llama.cpp knows no model of these sizes with it")


def _rotary(model: Any, arguments: Any, architecture: Architecture, tensors: list[Tensor]) -> list[Field]:
    """Returns the metadata of the rotary embedding; adds the tensor of Llama 3's frequencies to `tensors`.

    Raises InputError for a kind that llama.cpp does not compute for this architecture.
    """
    name = architecture_name(architecture)
    head, base = head_width(arguments), float(arguments.rope_theta)
    scaling = getattr(arguments, "rope_scaling", None) or {}
    kind = scaling.get("type") or scaling.get("rope_type") or "default"
    turned = int(head * getattr(arguments, "partial_rotary_factor", 1.0))
    fields = [
        Field(f"{name}.rope.dimension_count", turned, UNSIGNED),
        Field(f"{name}.rope.freq_base", base, REAL),
    ]
    if kind == "linear":
        fields += [
            Field(f"{name}.rope.scaling.type", "linear", TEXT),
            Field(f"{name}.rope.scaling.factor", float(scaling["factor"]), REAL),
        ]
    elif kind == "llama3" and architecture.kind == MODEL_ARCH.LLAMA:
        plain = base ** (np.arange(0, head, 2, dtype=np.float32) / head)
        factors = (np.array(model.layers[0].self_attn.rope._freqs) / plain).astype(np.float32)
        tensors.append(Tensor("rope_freqs.weight", factors.shape, lambda: factors))
    elif kind != "default" or getattr(arguments, "rope_traditional", False):
        raise InputError(f"the rotary embedding is {kind}, which --format gguf does not write for {name}")
    return fields
