"""Translates a Hugging Face tokenizer into the vocabulary of a GGUF file, as llama.cpp tokenizes with it."""

import json
import re
from typing import Any

from gguf import GGUFValueType, TokenType

from engine.contract.errors import InputError
from engine.formats.gguf_file import Field

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
PUNCTUATION, WITH_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
PATTERNS = {  # regular expression of the pre-tokenizer -> llama.cpp's name for it
    "|".join((CONTRACTIONS, WORDS, r"\p{N}{1,3}", PUNCTUATION, SPACES)): "llama-bpe",
    "|".join((CONTRACTIONS, WORDS, r"\p{N}", PUNCTUATION, SPACES)): "qwen2",
    "|".join((*CASED, r"\p{N}", WITH_SLASH, SPACES)): "tekken",
    "|".join((f"{CASED[0]}{CONTRACTIONS}?", f"{CASED[1]}{CONTRACTIONS}?", r"\p{N}{1,3}", WITH_SLASH, SPACES)): "gpt-4o",
}
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
SPACE = "▁"  # SentencePiece's sign for a space
SPECIAL = {"bos": "bos_token_id", "eos": "eos_token_id", "unknown": "unk_token_id", "padding": "pad_token_id"}
UNUSED_SCORE = -1e6  # of a token that no merge makes


def vocabulary_fields(tokenizer: Any, rows: int, end_id: int) -> list[Field]:
    """Returns the metadata of a tokenizer, with its chat template.

    `rows` is the number of the model's embeddings; tokens that the tokenizer lacks are filled in as unused. `end_id`
    ends an answer. Raises InputError if llama.cpp has no tokenizer of this kind.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    model = parts["model"]
    if model["type"] != "BPE":
        raise InputError(f"the tokenizer is a {model['type']} model; --format gguf reads only BPE")
    by_bytes = '"ByteLevel"' in json.dumps([parts["pre_tokenizer"], parts["decoder"]])
    if not by_bytes and not model.get("byte_fallback"):
        raise InputError("the tokenizer is neither byte-level BPE nor SentencePiece's; --format gguf knows no other")
    texts, kinds = _tokens(parts, rows, by_bytes)
    fields = [
        _text("model", "gpt2" if by_bytes else "llama"),
        _text("pre", _pre_tokenizer(parts) if by_bytes else "default"),
        Field("tokenizer.ggml.tokens", texts, GGUFValueType.ARRAY),
        Field("tokenizer.ggml.token_type", [int(kind) for kind in kinds], GGUFValueType.ARRAY),
    ]
    merges = [tuple(pair.split(" ", 1)) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    if by_bytes:
        fields.append(Field("tokenizer.ggml.merges", [" ".join(pair) for pair in merges], GGUFValueType.ARRAY))
    else:
        fields += [
            Field("tokenizer.ggml.scores", _scores(texts, kinds, merges), GGUFValueType.ARRAY),
            Field("tokenizer.ggml.add_space_prefix", _adds_space(parts), GGUFValueType.BOOL),
        ]
    for name, attribute in SPECIAL.items():
        if (number := getattr(tokenizer, attribute)) is not None:
            fields.append(Field(f"tokenizer.ggml.{name}_token_id", number, GGUFValueType.UINT32))
    return [
        *fields,
        Field("tokenizer.ggml.eot_token_id", end_id, GGUFValueType.UINT32),
        Field("tokenizer.ggml.add_bos_token", adds_begin(tokenizer), GGUFValueType.BOOL),
        Field("tokenizer.chat_template", _template(tokenizer), GGUFValueType.STRING),
    ]


def adds_begin(tokenizer: Any) -> bool:
    """Returns whether the tokenizer puts its first special token before a text."""
    first = tokenizer.bos_token_id
    return first is not None and next(iter(tokenizer.encode("a"))) == first


def _template(tokenizer: Any) -> str:
    """Returns the chat template, without thinking first: the model was trained and scored without it."""
    template = str(tokenizer.get_chat_template())
    return "{%- set enable_thinking = false -%}\n" + template if "enable_thinking" in template else template


def _text(key: str, value: str) -> Field:
    return Field(f"tokenizer.ggml.{key}", value, GGUFValueType.STRING)


def _tokens(parts: dict[str, Any], rows: int, by_bytes: bool) -> tuple[list[str], list[TokenType]]:
    """Returns the text and the type of each token id. Raises InputError if a token has no embedding."""
    texts = {number: text for text, number in parts["model"]["vocab"].items()}
    kinds = {number: TokenType.BYTE if not by_bytes and BYTE.fullmatch(text) else TokenType.NORMAL
             for number, text in texts.items()}  # fmt: skip
    unknown = parts["model"].get("unk_token")
    for added in parts["added_tokens"]:
        number, text = added["id"], added["content"]
        texts[number] = text if by_bytes or added["special"] else text.replace(SPACE, " ")
        kinds[number] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        if text == unknown and not by_bytes:
            kinds[number] = TokenType.UNKNOWN
    if max(texts) >= rows:
        raise InputError(f"the tokenizer has token {max(texts)}; the model has {rows} embeddings")
    return (
        [texts.get(number, f"[PAD{number}]") for number in range(rows)],
        [kinds.get(number, TokenType.UNUSED) for number in range(rows)],
    )


def _pre_tokenizer(parts: dict[str, Any]) -> str:
    """Returns llama.cpp's name of the rules that split a text into words. Raises InputError if it has none."""
    whole = parts["pre_tokenizer"] or {}
    steps = whole["pretokenizers"] if whole.get("type") == "Sequence" else [whole]
    kinds = [step.get("type") for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
        return "smollm"
    if kinds == ["ByteLevel"] and steps[0]["use_regex"]:
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"] and not steps[1]["use_regex"]:
        pattern = steps[0]["pattern"].get("Regex")
        if pattern in PATTERNS:
            return PATTERNS[pattern]
    raise InputError(
        "the tokenizer splits words by rules that --format gguf does not know; llama.cpp would read other tokens"
    )


def _scores(texts: list[str], kinds: list[TokenType], merges: list[tuple[str, ...]]) -> list[float]:
    """Returns a score for each token: llama.cpp merges the pair with the highest, the tokenizer the first of a list."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair), rank)
    return [
        -float(ranks.get(text, -UNUSED_SCORE)) if kind == TokenType.NORMAL else 0.0
        for text, kind in zip(texts, kinds, strict=True)
    ]


def _adds_space(parts: dict[str, Any]) -> bool:
    """Returns whether the tokenizer puts a space before a text."""
    steps = json.dumps([parts["normalizer"], parts["pre_tokenizer"]])
    return '"Prepend"' in steps or '"prepend_scheme": "first"' in steps or '"prepend_scheme": "always"' in steps
