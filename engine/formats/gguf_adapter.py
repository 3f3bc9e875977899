"""Writes all deltas of a run as one LoRA adapter in GGUF, which llama.cpp and Ollama load beside the base model."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from gguf import GGUFValueType

from engine.adapters.ledger import Ledger
from engine.formats import gguf_file
from engine.formats.gguf_file import Field, Tensor
from engine.formats.gguf_model import architecture_name, architecture_of, interleave, split_heads, tensor_names
from engine.formats.low_rank import Factors, ranks

FILE = "adapter.gguf"


def write_adapter(folder: Path, ledger: Ledger, factors: dict[str, Factors]) -> None:
    """Writes the adapter in f32: lora_a (rank, in) and lora_b (out, rank), one rank for all modules, alpha = rank.

    Raises InputError if llama.cpp does not know the architecture.
    """
    model: Any = ledger.model
    architecture, rank = architecture_of(model), ranks(factors.values())
    arguments = getattr(model, "language_model", model).args
    tensors = []
    for path, part, _, name in tensor_names(model, architecture):
        if part != "weight" or path not in factors:
            continue
        full = factors[path].padded(rank)
        a, b = (np.array(factor.T.astype(mx.float32), dtype=np.float32) for factor in (full.a, full.b))
        if heads := split_heads(path, architecture, arguments):
            b = interleave(b, heads)
        tensors += [_tensor(f"{name}.lora_a", a), _tensor(f"{name}.lora_b", b)]
    fields = [
        Field("general.type", "adapter", GGUFValueType.STRING),
        Field("adapter.type", "lora", GGUFValueType.STRING),
        Field("adapter.lora.alpha", float(rank), GGUFValueType.FLOAT32),
    ]
    gguf_file.write(folder / FILE, architecture_name(architecture), fields, tensors, "f32")


def _tensor(name: str, values: gguf_file.Values) -> Tensor:
    return Tensor(name, values.shape, lambda: values)
