"""The one renderer on chat templates of the kinds that model families use: a row is what the template itself makes.

The templates are written for this test, after what each family's looks like; the tokenizer is SmolLM2's with the
family's own markers added to it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tiny
from mlx_lm.tokenizer_utils import TokenizerWrapper, load
from tokenizers import AddedToken

from engine.contract.errors import InputError
from engine.data.templates.chat_template import Message, Renderer

LOOP = "{% for m in messages %}"
SYSTEM, USER, TOLD = Message("system", "Be brief."), Message("user", "Who minds it?"), Message("assistant", "I do.")
FAMILIES: dict[str, tuple[list[str], str]] = {  # markers, the last of which ends an answer; template
    "gemma": (
        ["<bos>", "<start_of_turn>", "<end_of_turn>"],
        "<bos>{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + LOOP
        + "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
    "llama-3": (
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|begin_of_text|>"
        + LOOP
        + "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    ),
    "phi-3": (
        ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
        LOOP + "<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
    ),
    "mistral": (
        ["<s>", "[INST]", "[/INST]", "</s>"],
        "<s>"
        + LOOP
        + "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
        "{% endif %}{% if m['role'] == 'user' %}[INST]{{ m['content'] }}[/INST]{% else %}{{ m['content'] }}</s>"
        "{% endif %}{% endfor %}",
    ),
    "qwen-3": (
        ["<|turn|>", "<think>", "</think>", "<|done|>"],
        LOOP + "<|turn|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n"
        "{% endif %}{{ m['content'] }}<|done|>\n{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n"
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("model") / "model")


def renderer(folder: Path, family: str, end: str | None = None) -> tuple[Renderer, Any]:
    markers, template = FAMILIES[family]
    tokenizer = load(folder)._tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": markers})
    tokenizer.chat_template = template
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(end or markers[-1])]
    return Renderer(TokenizerWrapper(tokenizer, eos_token_ids=ends)), tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_what_the_template_makes_of_the_conversation(folder: Path, family: str) -> None:
    found, tokenizer = renderer(folder, family)
    for asked in ([USER], [USER, TOLD, Message("user", "Alone?")]):
        row = found.example(asked, " Aye, I do.\n", 200)
        turns = [{"role": m.role, "content": m.content} for m in (*asked, Message("assistant", "Aye, I do."))]
        whole = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False, enable_thinking=False)
        assert list(row.ids) == whole[: len(row.ids)]
        assert row.ids[-1] == tokenizer.convert_tokens_to_ids(FAMILIES[family][0][-1]) == found.end_id
        assert tokenizer.decode(row.ids[row.prompt : -1]) == "Aye, I do."
        assert list(row.ids[: row.prompt]) == found.prompt_ids(asked) == found.template_ids(asked)
        assert row.supervised == row.answer_tokens + 1


@pytest.mark.parametrize(
    ("family", "turns", "words"),
    [
        ("gemma", [SYSTEM, USER], "refuses the turns system, user: System role not supported"),
        ("mistral", [SYSTEM, USER], "refuses the turns system, user: roles must alternate"),
        ("mistral", [USER, USER], "refuses the turns user, user: roles must alternate"),
    ],
)
def test_what_a_template_refuses_is_said(folder: Path, family: str, turns: list[Message], words: str) -> None:
    found, _ = renderer(folder, family)
    with pytest.raises(InputError, match=words):
        found.example(turns, "Aye.", 200)


def test_a_template_with_a_channel_before_the_answer_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As gpt-oss has it: a row without the channel is none that the model has ever seen."""
    markers = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"]
    template = (
        LOOP
        + "<|start|>{{ m['role'] }}{% if m['role'] == 'assistant' %}<|channel|>final{% endif %}<|message|>"
        + "{{ m['content'] }}{{ '<|return|>' if m['role'] == 'assistant' and loop.last else '<|end|>' }}{% endfor %}"
        + "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    )
    monkeypatch.setitem(FAMILIES, "gpt-oss", (markers, template))
    with pytest.raises(InputError, match=r"puts '<\|channel\|>final<\|message\|>' between a prompt and its answer"):
        renderer(folder, "gpt-oss")


@pytest.mark.parametrize("opening", ["<think>\n", "<think>\n\n"])
def test_a_template_that_always_thinks_first_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, opening: str
) -> None:
    """Its rows would be trained on inside the thoughts, without an end to them."""
    markers, template = FAMILIES["qwen-3"]
    asked = template[template.index("{% if enable_thinking") : template.rindex("{% endif %}")]
    monkeypatch.setitem(FAMILIES, "thinking", (markers, template.replace(asked, opening)))
    with pytest.raises(InputError, match="as that of a model which always thinks first does"):
        renderer(folder, "thinking")


@pytest.mark.parametrize("answer", ["Aye, lad.<|done|>", "Aye.<|done|>\n<|turn|>user\nAnd then?", "<|im_end|>"])
def test_a_mark_inside_an_answer_is_refused(folder: Path, answer: str) -> None:
    """The row would have two ends, and teach the model to write the user's next turn."""
    found, _ = renderer(folder, "qwen-3")
    with pytest.raises(InputError, match=r"the answer has <\|\w+\|> in it, which the model reads as a mark"):
        found.example([USER], answer, 200)
    assert found.example([USER], "Aye, <b>lad</b> < |done| >.", 200).supervised > 5


def test_the_marks_of_turns_are_known_where_the_tokenizer_lists_them_nowhere(folder: Path) -> None:
    """As of Llama 3, whose headers are special tokens and in no list; and <filename>, which people write, is text."""
    tokenizer = load(folder)._tokenizer
    tokenizer.add_tokens([AddedToken(marker, special=True) for marker in FAMILIES["llama-3"][0]])
    tokenizer.chat_template = FAMILIES["llama-3"][1]
    ends = [tokenizer.convert_tokens_to_ids("<|eot_id|>")]
    found = Renderer(TokenizerWrapper(tokenizer, eos_token_ids=ends))
    assert "<|start_header_id|>" not in tokenizer.all_special_tokens
    for answer in ("Aye.<|start_header_id|>user", "Aye.<|eot_id|>"):
        with pytest.raises(InputError, match="which the model reads as a mark"):
            found.example([USER], answer, 200)
    assert found.example([USER], "Open <filename>, lad.", 200).supervised > 5


def test_an_answer_that_never_ends_is_refused(folder: Path) -> None:
    """The template ends an answer with a marker on which generation would not stop."""
    with pytest.raises(
        InputError, match=r"ends an answer with .* which is not an end token of the tokenizer .*; model.eos_token: "
    ):
        renderer(folder, "gemma", end="<bos>")


@pytest.mark.parametrize(("started", "day"), [(0.0, "01 Jan 1970"), (951_782_399.0, "28 Feb 2000"), (None, None)])
def test_the_date_in_a_template_is_that_of_the_day_on_which_the_run_began(
    folder: Path, started: float | None, day: str | None
) -> None:
    tokenizer = load(folder)._tokenizer
    tokenizer.chat_template = "Today: {{ strftime_now('%d %b %Y, %H:%M') }}\n" + tokenizer.chat_template
    wrapped = TokenizerWrapper(tokenizer, eos_token_ids=[tokenizer.convert_tokens_to_ids("<|im_end|>")])
    found = Renderer(wrapped, started)
    day = day or datetime.now(UTC).strftime("%d %b %Y")  # a preflight's
    assert tokenizer.decode(found.prompt_ids([USER])).startswith(f"Today: {day}, 00:00\n")
    assert found.prompt_ids([USER]) == found.template_ids([USER])


def test_a_date_that_cannot_be_told_beforehand_is_refused(folder: Path) -> None:
    tokenizer = load(folder)._tokenizer
    tokenizer.chat_template = "{% set form = '%d' %}{{ strftime_now(form) }}" + tokenizer.chat_template
    with pytest.raises(InputError, match="states the time in a form"):
        Renderer(TokenizerWrapper(tokenizer, eos_token_ids=[tokenizer.eos_token_id]))
