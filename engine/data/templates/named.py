"""Chat templates by name, for base models without one, and the settings that put a tokenizer right."""

from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.regular_file import TEXT, read_text
from engine.contract.wording import nearest, short

TURN = "{% for message in messages %}"
NAMED = {
    "chatml": TURN + "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama-3": "{{ '<|begin_of_text|>' }}"
    + TURN
    + "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    + TURN
    + "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n'"
    " + message['content'] + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    "plain": TURN
    + "{% if message['role'] == 'assistant' %}{{ '### Response:\\n' + message['content'] + eos_token + '\\n' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% else %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}",
}
ENDS = {"chatml": "<|im_end|>", "llama-3": "<|eot_id|>", "gemma": "<end_of_turn>"}  # end token of a named template


def template_text(setting: str) -> str:
    """Returns the template that model.chat_template names: a name above, or a file with Jinja text."""
    if setting in NAMED:
        return NAMED[setting]
    path = Path(setting)
    if not path.is_absolute():
        raise InputError(
            f"model.chat_template: found {short(setting)}, expected a file or a name{nearest(setting, NAMED)}"
        )
    try:
        return read_text(path, TEXT)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"model.chat_template: {path}: cannot be read ({error})") from error


def default_template(tokenizer: Any) -> str:
    """Returns the tokenizer's default template. Raises InputError if it has none, or none by default."""
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        if "default" in found:
            return str(found["default"])
        raise InputError(
            f"the model's tokenizer has chat templates by name ({', '.join(map(str, found))}) and none of them is the "
            "default; model.chat_template names a file with the one that is meant"
        )
    return str(found or "")


def end_ids(tokenizer: Any, setting: str, eos_token: str) -> frozenset[int]:
    """Returns the tokens that end an answer: the tokenizer's, and those of model.eos_token or a named template.

    Raises InputError if such a token is not one token of the vocabulary.
    """
    ids = set(tokenizer.eos_token_ids)
    for field, token in (("model.eos_token", eos_token), ("model.chat_template", ENDS.get(setting, ""))):
        if token:
            found = tokenizer.encode(token, add_special_tokens=False)
            if len(found) != 1:
                raise InputError(f"{field}: {token!r} is {len(found)} tokens of this model, expected one")
            ids.add(found[0])
    return frozenset(ids)
