"""Writes a GGUF file tensor by tensor, in one number type, and reads it back."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import xxhash
from gguf import GGMLQuantizationType, LlamaFileType

from engine.contract.errors import InputError
from engine.contract.wording import short

Values = npt.NDArray[np.float32]
NUMBER_TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q5_1": (GGMLQuantizationType.Q5_1, LlamaFileType.MOSTLY_Q5_1),
    "q5_0": (GGMLQuantizationType.Q5_0, LlamaFileType.MOSTLY_Q5_0),
    "q4_1": (GGMLQuantizationType.Q4_1, LlamaFileType.MOSTLY_Q4_1),
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
VOCABULARY = ("token_embd.weight", "output.weight")  # in q8_0 at least: they decide every word
LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the file; `values()` computes it in fp32 when it is written, so one exists at a time."""

    name: str
    shape: tuple[int, ...]
    values: Callable[[], Values]


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the metadata and its value; `kind` is a type of GGUF, `items` the type of a list's values."""

    key: str
    value: Any
    kind: gguf.GGUFValueType
    items: gguf.GGUFValueType | None = None


def require_number_type(numbers: str) -> None:
    """Raises InputError if `numbers` is no type that this module writes."""
    if numbers in NUMBER_TYPES:
        return
    if re.fullmatch(r"i?q\d_[a-z]\w*", numbers, re.IGNORECASE):
        raise InputError(
            f"--type {numbers}: only llama.cpp makes this type; export with --type f16, then run: "
            f"llama-quantize FILE-f16.gguf FILE-{numbers.lower()}.gguf {numbers.upper()}"
        )
    raise InputError(f"--type {short(numbers)}: unknown; the types are {', '.join(NUMBER_TYPES)}")


def write(path: Path, architecture: str, fields: Sequence[Field], tensors: Sequence[Tensor], numbers: str) -> None:
    """Writes the file, then reads it back and compares every tensor with what was written.

    Raises InputError if a weight does not fit into the number type, or if the file reads back differently.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for field in fields:
        writer.add_key_value(field.key, field.value, field.kind, field.items)
    types = {tensor.name: number_type(tensor, numbers) for tensor in tensors}
    for tensor in tensors:
        size = int(np.prod(gguf.quant_shape_to_byte_shape(tensor.shape, types[tensor.name])))
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, types[tensor.name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    digests = {}
    for tensor in tensors:
        data = encoded(tensor, types[tensor.name])
        digests[tensor.name] = xxhash.xxh3_128_hexdigest(data.data)
        writer.write_tensor_data(data)
    writer.close()
    _require_same(path, digests)


def number_type(tensor: Tensor, numbers: str) -> GGMLQuantizationType:
    """Returns the type of a tensor in a file of type `numbers`.

    Vectors stay in f32, as llama.cpp expects. A row that cannot be divided into blocks is f16. Embeddings and the
    output layer have at least q8_0.
    """
    wanted = NUMBER_TYPES[numbers][0]
    if len(tensor.shape) == 1:
        return GGMLQuantizationType.F32
    if tensor.name in VOCABULARY and numbers.startswith(("q4", "q5")):
        wanted = GGMLQuantizationType.Q8_0
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if tensor.shape[-1] % block == 0 else GGMLQuantizationType.F16


def encoded(tensor: Tensor, kind: GGMLQuantizationType) -> npt.NDArray[Any]:
    """Returns the tensor's values in the given type. Raises InputError if one is too large for f16."""
    values = tensor.values()
    if kind == GGMLQuantizationType.F16 and np.abs(values).max(initial=0) > LARGEST:
        raise InputError(f"{tensor.name} has weights above {LARGEST:g}, too large for f16; use --type bf16 or f32")
    return np.ascontiguousarray(gguf.quantize(values, kind))


def read_values(path: Path) -> Iterator[tuple[str, Values]]:
    """Yields the name and the dequantized values of each tensor of a GGUF file."""
    for tensor in gguf.GGUFReader(path).tensors:
        yield tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type)


def _require_same(path: Path, digests: dict[str, str]) -> None:
    """Raises InputError if the file's tensors are not those that were written."""
    found = {tensor.name: xxhash.xxh3_128_hexdigest(tensor.data.data) for tensor in gguf.GGUFReader(path).tensors}
    if found != digests:
        name = next(name for name in [*digests, *found] if digests.get(name) != found.get(name))
        raise InputError(f"{path.name} cannot be read back: {name} differs from what was written")
