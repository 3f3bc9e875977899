"""The MLX sentence embedding agrees with sentence-transformers on the same weights, alone or in a batch."""

import json
from pathlib import Path

import mlx.core as mx
import pytest

from engine.model.sentence_embedder import Embedder, cosine, load_embedder

FIXTURE = json.loads((Path(__file__).parents[2] / "fixtures" / "embed_cosines.json").read_text(encoding="utf-8"))
SHORT, LONG = "A cat sits on the mat.", "The lamp must be lit before dark, and the wick trimmed. " * 9


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(print)


@pytest.mark.parametrize("pair", FIXTURE["pairs"], ids=lambda pair: f"{pair['a'][:12]}-{pair['b'][:12]}")
def test_cosines_equal_those_of_sentence_transformers(embedder, pair):
    a, b = embedder.embed([pair["a"]]), embedder.embed([pair["b"]])
    assert cosine(a, b).item() == pytest.approx(pair["cosine"], abs=1e-4)


def test_a_vector_equals_that_of_sentence_transformers(embedder):
    vector = embedder.embed([FIXTURE["first_numbers"]["text"]])[0]
    assert vector[:8].tolist() == pytest.approx(FIXTURE["first_numbers"]["vector"], abs=1e-5)


def test_batch_mates_and_padding_change_nothing_and_the_order_is_kept(embedder):
    texts = [LONG, SHORT, "", *(f"Sentence number {i}." for i in range(33))]
    together = embedder.embed(texts)
    assert together.shape == (len(texts), 384)
    for i in (0, 1, 2, len(texts) - 1):
        assert mx.abs(together[i] - embedder.embed([texts[i]])[0]).max().item() < 1e-5


def test_vectors_have_unit_length(embedder):
    norms = mx.linalg.norm(embedder.embed([SHORT, LONG, ""]), axis=-1)
    assert norms.tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_text_beyond_256_pieces_is_cut(embedder):
    word = "lamp "  # one piece; two of the 256 are the marks at both ends
    assert cosine(embedder.embed([word * 254]), embedder.embed([word * 999])).item() == pytest.approx(1, abs=1e-6)
    assert mx.abs(embedder.embed([word * 253]) - embedder.embed([word * 254])).max().item() > 1e-6


def test_no_texts_make_no_vectors(embedder):
    assert embedder.embed([]).shape == (0, 384)
