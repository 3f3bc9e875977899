"""Small tokenizers of each kind that a GGUF file can hold, trained on a few texts, and texts to compare them on."""

import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from engine.formats.gguf_vocabulary import PATTERNS

ROOT = Path(__file__).parents[2]
SIZE = 1500
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>", "<|endoftext|>"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
FOREIGN = [
    "Größe über alles, naïve café 1999 12345",
    "你好世界，今天天气很好",
    "Привет мир",
    "🚀🙂 ok",
    "I'VE we'll DON'T",
]
ODD = ["  two  spaces", "\n\nnew\n lines \t tabs ", "a", "1234567 89", "x=1;y=[2,3]", "", "ÀÉÎ ß", "http://a.b/c?d=e&f"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}<|user|>{{ m['content'] }}"
    "{% else %}</s>{{ m['content'] }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}</s>{% endif %}"
)


def corpus() -> list[str]:
    """Returns lines of the demo curriculum and of docs, with some of other scripts."""
    files = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "configs" / "curricula").glob("*/*.jsonl"))]
    return [line for file in files for line in file.read_text().splitlines() if line.strip()] + FOREIGN * 20


def texts(count: int) -> list[str]:
    """Returns texts to tokenize: random lines of the corpus, and odd ones."""
    lines = corpus()
    random.Random(1).shuffle(lines)
    return lines[: count - len(ODD) - len(FOREIGN)] + ODD + FOREIGN


def by_bytes(pattern: str | None) -> Tokenizer:
    """Returns a byte-level tokenizer that splits words with the pattern, or as GPT-2 if there is none."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pattern is not None and "{1,3}" in pattern))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    split = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated", False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, plain]) if split else plain
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, SPECIAL)
    return tokenizer


def sentencepiece(prefix: bool, swallows: bool = False) -> Tokenizer:
    """Returns a tokenizer as SentencePiece's: spaces are ▁, and unknown letters bytes; `prefix` adds a first space.

    If `swallows`, the tokens of the chat template swallow the spaces after them.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    before = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", "▁")])
    _train(tokenizer, [*SPECIAL, *BYTES])
    parts = json.loads(tokenizer.to_str())
    parts["added_tokens"] = [added for added in parts["added_tokens"] if added["content"] not in BYTES]
    for added in parts["added_tokens"]:
        added["rstrip"] = swallows and added["content"] not in ("<unk>", "<s>", "<|endoftext|>")
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    begin = [("<s>", tokenizer.token_to_id("<s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=begin)
    return tokenizer


KINDS = {
    "sentencepiece": lambda: sentencepiece(True),
    "sentencepiece, no prefix": lambda: sentencepiece(False),
    "phi3": lambda: sentencepiece(True, swallows=True),
    "gpt-2": lambda: by_bytes(None),
    **{name: lambda pattern=pattern: by_bytes(pattern) for pattern, name in PATTERNS.items()},
}


def install(kind: str, folder: Path) -> None:
    """Replaces the tokenizer of a model folder by one of this kind; its model needs SIZE embeddings or more."""
    KINDS[kind]().save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "<|end|>", "unk_token": "<unk>", "chat_template": TEMPLATE}
    settings = names | {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": SPECIAL.index("<|end|>")}))


def _train(tokenizer: Tokenizer, special: list[str]) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=special,
        initial_alphabet=[] if tokenizer.normalizer else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=12,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
