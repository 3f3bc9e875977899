"""Finds the marks of chat templates in text that is meant to be plain, so that no row is put into a template twice."""

import re
from collections.abc import Iterable

from engine.contract.errors import InputError
from engine.data.templates.chat_template import Message

TOKENS = re.compile(  # marks that no plain text has
    r"<\|im_start\|>|<\|im_end\|>|<\|start_header_id\|>|<\|end_header_id\|>|<\|eot_id\|>|<\|begin_of_text\|>"
    r"|<start_of_turn>|<end_of_turn>|<\|start_of_role\|>|<\|turn>|<\|(?:system|user|assistant|end)\|>"
    r"|<｜(?:User|Assistant|begin▁of▁sentence|end▁of▁sentence)｜>|\[/INST\]|<</?SYS>>"
)
WRAPPED = (  # words that are plain text alone, and a template where they stand at the ends of a prompt
    re.compile(r"^\s*(?:<s>)?\s*\[INST\]"),
    re.compile(r"^\s*### ?(?:Instruction|Human|User|Question|System)s?:", re.IGNORECASE),
    re.compile(r"^\s*Below is an instruction that describes a task"),
    re.compile(r"^### ?(?:Response|Assistant|Answer|Output):?\s*\Z", re.IGNORECASE | re.MULTILINE),
    re.compile(r"^\s*(?:A chat between [^\n]*)?\s*USER:.*\bASSISTANT:\s*\Z", re.DOTALL),
)


def require_plain(where: str, messages: Iterable[Message]) -> None:
    """Raises InputError if a message that is no answer holds a chat template's marks.

    The model's template is put around every prompt, so such a prompt would be in two of them.
    """
    for message in messages:
        if message.role != "assistant" and (mark := find_mark(message.content)):
            raise InputError(
                f"{where}: the {'prompt' if message.role == 'user' else 'system message'} has {mark!r} in it, a mark "
                "of a chat template; write the text alone, since the model's own template is put around it"
            )


def find_mark(text: str) -> str:
    """Returns the first mark of a chat template in a prompt; an empty string if it has none."""
    found = TOKENS.search(text) or next(filter(None, (pattern.search(text) for pattern in WRAPPED)), None)
    return found.group().strip()[:40] if found else ""
