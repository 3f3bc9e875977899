"""The vocabulary of a GGUF file: kinds of tokenizer, types of token, scores; refusal of what llama.cpp lacks."""

from pathlib import Path
from typing import Any

import pytest
import vocabularies
import zoo
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.contract.errors import InputError
from engine.formats.gguf_vocabulary import PATTERNS, vocabulary_fields
from engine.model import loading

ROWS = vocabularies.SIZE + 36
NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6


def load(folder: Path, kind: str) -> Any:
    base = zoo.make("llama", folder / "base", more={"vocab_size": ROWS})
    vocabularies.install(kind, base)
    return loading.load_tokenizer(base)


def vocabulary(tokenizer: Any, rows: int = ROWS) -> dict[str, Any]:
    fields = vocabulary_fields(tokenizer, rows, 4)
    return {field.key.removeprefix("tokenizer.ggml."): field.value for field in fields}


@pytest.mark.parametrize("kind", ["gpt-2", *PATTERNS.values()])
def test_a_byte_level_tokenizer_is_named_by_its_pattern(tmp_path: Path, kind: str) -> None:
    found = vocabulary(load(tmp_path, kind))
    assert (found["model"], found["pre"], found["add_bos_token"]) == ("gpt2", kind, False)
    assert found["token_type"][:6] == [CONTROL] * 6
    assert found["token_type"][-1] == UNUSED and found["tokens"][-1] == f"[PAD{ROWS - 1}]"
    first, second = found["merges"][0].split(" ")
    assert first + second in found["tokens"]


@pytest.mark.parametrize(("kind", "prefix"), [("sentencepiece", True), ("sentencepiece, no prefix", False)])
def test_a_sentencepiece_tokenizer_has_scores_in_the_order_of_its_merges(
    tmp_path: Path, kind: str, prefix: bool
) -> None:
    tokenizer = load(tmp_path, kind)
    found = vocabulary(tokenizer)
    assert (found["model"], found["add_bos_token"], found["add_space_prefix"]) == ("llama", True, prefix)
    kinds = found["token_type"]
    assert (kinds[0], kinds[1], kinds[6]) == (UNKNOWN, CONTROL, BYTE)
    merged = [number for number, score in enumerate(found["scores"]) if score > -1e6 and kinds[number] == NORMAL]
    scores = [found["scores"][number] for number in merged]
    assert len(merged) > 500 and scores == sorted(scores, reverse=True), "ids are in the order of the merges"


def test_the_model_was_trained_without_thinking_and_its_template_says_so(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, "gpt-2")
    tokenizer.chat_template = "{% if enable_thinking %}<think>{% endif %}" + vocabularies.TEMPLATE
    template = vocabulary(tokenizer)["tokenizer.chat_template"]
    assert template.startswith("{%- set enable_thinking = false -%}\n{% if enable_thinking %}")


def test_more_tokens_than_embeddings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"the tokenizer has token {vocabularies.SIZE - 1}; the model has 100"):
        vocabulary(load(tmp_path, "gpt-2"), 100)


class Given:
    """A tokenizer of which only its own description is asked."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend_tokenizer = backend


def test_other_kinds_of_tokenizer_are_refused() -> None:
    unigram = Tokenizer(models.Unigram([("a", -1.0)], 0, False))
    words = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    split = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    split.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel()])
    for backend, sentence in ((unigram, "a Unigram model"), (words, "neither byte-level"), (split, "splits words by")):
        with pytest.raises(InputError, match=sentence):
            vocabulary(Given(backend))
