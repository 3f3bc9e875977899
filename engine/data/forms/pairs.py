"""Parses pairs of answers to one prompt: TRL's forms, LLaMA-Factory's rankings, and Anthropic's HH text."""

from itertools import takewhile
from typing import Any

from engine.contract.errors import InputError
from engine.data.forms.fields import flag
from engine.data.forms.messages import Unread, hh_messages, messages_of
from engine.data.forms.row_types import NotTrained, Pair
from engine.data.forms.rows import CHATS, answer_of, chat_value, count_unread, prompt_of, with_system
from engine.data.forms.template_marks import require_plain
from engine.data.templates.chat_template import Message

SIDES = ("chosen", "rejected")
LEAST = 3  # words of a prompt that both answers begin with, for it to be a repeated prompt and no greeting

Turns = tuple[Message, ...]


def pair_row(where: str, data: dict[str, Any], unread: Unread) -> Pair:
    """Parses a pair of answers to one prompt; raises InputError that names the field."""
    heldout, output = flag(where, data, "heldout"), data.get("output")
    if isinstance(output, list) and len(output) == 2 and "chosen" not in data:  # LLaMA-Factory's earlier ranking
        data = data | dict(zip(SIDES, output, strict=True))
    prompt, chosen, rejected, used = _preference(where, data, unread)
    count_unread(data, used | {*SIDES, "heldout", "output"}, unread)
    require_plain(where, (*prompt, *chosen, *rejected))
    if not (chosen[-1].trained and rejected[-1].trained):
        raise NotTrained(f"{where}: an answer is marked not to be trained on")
    if chosen == rejected:
        raise InputError(f"{where}: rejected: the same text as chosen")
    ends = (chosen[-1].content, rejected[-1].content)
    return Pair(with_system(where, data, prompt), *ends, heldout, where, chosen[:-1], rejected[:-1])


def _preference(where: str, data: dict[str, Any], unread: Unread) -> tuple[Turns, Turns, Turns, set[str]]:
    """Returns the prompt, the turns of the chosen and of the rejected side, and the fields that were used.

    Each field may be text or messages. Whole conversations, and HH text, include the prompt.
    """
    whole = {name: _whole(where, name, data, unread) for name in SIDES}
    asks = any(name in data for name in ("prompt", "instruction", "question", "query", *CHATS))
    if not (whole["chosen"] and whole["rejected"]):
        prompt, used = prompt_of(where, data, "prompt", unread, CHATS)
        data = _without_prompt(data, prompt)
        chosen, rejected = (answer_of(where, name, data, unread) for name in SIDES)
        return prompt, chosen, rejected, used
    for name, messages in whole.items():
        if [message.role for message in messages[-2:]] != ["user", "assistant"]:
            raise InputError(f"{where}: {name}: expected to end with an assistant's answer to a user")
    both = zip(whole["chosen"], whole["rejected"], strict=False)
    same = tuple(one for one, _ in takewhile(lambda sides: sides[0] == sides[1], both))
    if whole["chosen"] == whole["rejected"]:
        raise InputError(f"{where}: rejected: the same text as chosen")
    if not same or same[-1].role != "user":
        raise InputError(
            f"{where}: chosen and rejected differ before their last messages; expected one prompt in common"
        )
    used = set()
    if asks:
        given, used = prompt_of(where, data, "prompt", unread, CHATS)
        if given not in (same, same[-1:]) and given != tuple(m for m in same if m.role != "system"):
            begin = given[-1].content[:60]
            raise InputError(f"{where}: prompt: found {begin!r}, and chosen begins with something else")
    return same, whole["chosen"][len(same) :], whole["rejected"][len(same) :], used


def _whole(where: str, name: str, data: dict[str, Any], unread: Unread) -> Turns:
    """Returns a side's messages if it is a whole conversation, with the prompt in it; else nothing."""
    value = chat_value(data.get(name))
    if isinstance(value, str):
        return hh_messages(value)
    if not isinstance(value, list):
        return ()
    messages = messages_of(where, name, value, unread)
    return messages if messages and messages[0].role != "assistant" else ()


def _without_prompt(data: dict[str, Any], prompt: Turns) -> dict[str, Any]:
    """Takes the prompt off two texts that both begin with it, as earlier versions of TRL wanted them."""
    asked, sides = prompt[-1].content, [data.get(name) for name in SIDES]
    if len(asked.split()) < LEAST:
        return data
    rests = [side.strip().removeprefix(asked) for side in sides if isinstance(side, str)]
    repeated = len(rests) == len(SIDES) and all(
        len(rest) < len(str(side).strip()) and rest[:1].isspace() for rest, side in zip(rests, sides, strict=True)
    )
    return data | dict(zip(SIDES, rests, strict=True)) if repeated else data
