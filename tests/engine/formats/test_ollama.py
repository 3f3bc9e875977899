"""Modelfiles: what is derived from a chat template renders as that template, and what cannot be derived is not."""

from collections.abc import Sequence

import pytest
from jinja2 import Environment

from engine.contract.errors import InputError
from engine.data.templates.chat_template import Message
from engine.formats.ollama import Render, derive, modelfile

CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos }}{% for m in messages %}{% if m.role == 'system' %}{{ raise('no') }}{% endif %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
NO_THOUGHT = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{% endif %}")
LAST_ONLY = (  # the system message stands before the last question, as in Mistral's
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.last %}{{ messages[0].content }}\n\n{% endif %}"
    "{{ m.content }}[/INST]{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
BRACES = CHATML.replace("<|im_start|>system\nBe kind.", "<|im_start|>system\n{{ '{{ kind }}' }}")


def render_of(template: str) -> Render:
    def refuse(word: str) -> str:
        raise InputError(word)

    compiled = Environment().from_string(template)

    def render(messages: Sequence[Message], answering: bool) -> str:
        return compiled.render(messages=messages, add_generation_prompt=answering, bos="<bos>", **{"raise": refuse})

    return render


CONVERSATION = [Message("user", "One?"), Message("assistant", "Two."), Message("user", "Three?")]


@pytest.mark.parametrize(
    "template", [CHATML, LLAMA3, GEMMA, NO_THOUGHT], ids=["chatml", "llama3", "gemma", "no thought"]
)
def test_the_derived_turns_render_as_the_template(template: str) -> None:
    render = render_of(template)
    turns = derive(render)
    assert turns is not None and (turns.system is None) == (template == GEMMA)
    system = [] if turns.system is None else [Message("system", "Be short.")]
    for messages in (CONVERSATION[:1], CONVERSATION, [*system, *CONVERSATION]):
        assert turns.render(messages) == render(messages, True)


@pytest.mark.parametrize(
    "template",
    [LAST_ONLY, BRACES, "{{ messages[0].content }}", "nothing"],
    ids=["last only", "braces", "no answer", "constant"],
)
def test_a_template_of_another_form_is_not_derived(template: str) -> None:
    assert derive(render_of(template)) is None


def test_the_token_that_llama_cpp_adds_itself_is_left_out() -> None:
    turns = derive(render_of(LLAMA3))
    assert turns is not None
    assert "<bos>" in turns.template("") and "<bos>" not in turns.template("<bos>")


def test_a_modelfile_answers_as_evaluation_does() -> None:
    text = modelfile("voice.gguf", "{{ .Prompt }}", ["<|im_end|>"], 131072, "Apache", 1.15)
    assert text.splitlines() == [
        "FROM ./voice.gguf",
        'TEMPLATE """{{ .Prompt }}"""',
        'PARAMETER stop """<|im_end|>"""',
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1.15",
        "PARAMETER repeat_last_n 64",
        "PARAMETER num_ctx 8192",
        'LICENSE """Apache"""',
    ]
