"""Chat templates by name and end tokens by setting, and the true reason why a template cannot be used."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from mlx_lm.tokenizer_utils import TokenizerWrapper, load

from engine.contract.errors import InputError
from engine.data.templates.chat_template import Message, Renderer

USER = [Message("user", "Who minds it?")]
TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
WHOLE = TURNS + "<|im_end|>\n{% endfor %}" + ASKED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("model") / "model")


def tokenizer(folder: Path, template: Any, end: str = "<|im_end|>") -> TokenizerWrapper:
    found = load(folder)._tokenizer
    found.chat_template, found.eos_token = template, end
    return TokenizerWrapper(found, eos_token_ids=[found.convert_tokens_to_ids(end)])


@pytest.mark.parametrize(
    ("template", "end", "words"),
    [
        (TURNS + "<|im_end|>\n{% endfor %}", "<|im_end|>", "has no add_generation_prompt"),
        (TURNS + "{% endfor %}" + ASKED, "<|im_end|>", "puts nothing after an answer, so it has no end"),
        (
            WHOLE,
            "<|endoftext|>",
            "ends an answer with '<\\|im_end\\|>', .* model.eos_token: '<",
        ),
        (None, "<|im_end|>", "has no chat template; .* model.chat_template: chatml"),
        ({"tool_use": WHOLE, "rag": WHOLE}, "<|im_end|>", r"templates by name \(tool_use, rag\) and none .* default"),
        ("{% for m in messages if m['role'] == 'user' %}x{% endfor %}", "<|im_end|>", "does not write the answer"),
    ],
)
def test_the_true_reason_is_said(folder: Path, template: Any, end: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Renderer(tokenizer(folder, template, end))


def test_a_space_before_the_end_and_the_next_turns_mark_are_taken(folder: Path) -> None:
    spaced = TURNS.replace("{{ m['content'] }}", "{{ m['content'] }} ") + "<|im_end|>\n{% endfor %}" + ASKED
    assert Renderer(tokenizer(folder, spaced)).end_id == Renderer(tokenizer(folder, WHOLE)).end_id
    open_ended = Renderer(tokenizer(folder, TURNS + "{% endfor %}" + ASKED, "<|im_start|>"))
    assert open_ended.decode([open_ended.end_id]) == "<|im_start|>"


@pytest.mark.parametrize("named", ["chatml", "plain"])
def test_a_tokenizer_without_a_template_gets_one_by_name(folder: Path, named: str) -> None:
    found = Renderer(tokenizer(folder, None), chat_template=named)
    row = found.example(USER, "I do.", 100)
    assert found.decode(row.ids[row.prompt :]) == "I do.<|im_end|>"
    assert found.prompt_ids(USER) == found.template_ids(USER)


def test_settings_put_a_tokenizer_right(folder: Path, tmp_path: Path) -> None:
    found = Renderer(tokenizer(folder, WHOLE, "<|endoftext|>"), eos_token="<|im_end|>")
    assert found.decode([found.end_id]) == "<|im_end|>" and len(found.end_ids) == 2
    (tmp_path / "mine.jinja").write_text("Hello. " + WHOLE)
    found = Renderer(tokenizer(folder, WHOLE), chat_template=str(tmp_path / "mine.jinja"))
    assert found.decode(found.prompt_ids(USER)).startswith("Hello. ")
    for settings, words in (
        ({"chat_template": "chatlm"}, "expected a file or a name; did you mean 'chatml'"),
        ({"chat_template": str(tmp_path / "none.jinja")}, "none.jinja: cannot be read"),
        ({"chat_template": "llama-3"}, "'<\\|eot_id\\|>' is . tokens of this model, expected one"),
        ({"eos_token": "<nothing like it>"}, "model.eos_token: '<nothing like it>' is .* tokens of this model"),
    ):
        with pytest.raises(InputError, match=words):
            Renderer(tokenizer(folder, WHOLE), **settings)
