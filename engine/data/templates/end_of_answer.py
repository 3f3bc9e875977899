"""Finds how a chat template begins and ends an answer, and says which of the two it cannot do."""

import re
from collections.abc import Callable, Collection
from typing import Any

from engine.contract.errors import InputError

SENTINEL = "the answer stands here"
WAY_OUT = "model.chat_template puts another in its place, for example chatml"

EMPTY_THOUGHT = re.compile(r"<(\w+)>\s*</\1>")  # <think></think>: tells a model that can think not to do so

Render = Callable[[bool, bool, bool], str]  # with the answer, with a question after it, beginning an answer -> text


def end_token(render: Render, encode: Callable[[str], list[int]], tokenizer: Any, ends: Collection[int]) -> int:
    """Returns the token that the template puts after an answer. Raises InputError that says why it cannot be used."""
    prompt, whole = render(False, False, True), render(True, False, False)
    if SENTINEL not in whole:
        raise InputError(f"the chat template does not write the answer of an assistant; {WAY_OUT}")
    before = whole[: whole.rindex(SENTINEL)]
    _require_beginning(prompt, before, render(False, False, False))
    tail = whole[len(before) + len(SENTINEL) :]
    if not tail.strip():  # the answer ends with the mark of the next turn
        longer = render(True, True, False)
        tail = longer[longer.rindex(SENTINEL) + len(SENTINEL) :]
    found = encode(tail.lstrip())
    if found and found[0] in ends:
        return found[0]
    known = ", ".join(sorted(repr(tokenizer.decode([id])) for id in ends)) or "none"
    if not tail.strip() or whole.rstrip().endswith(SENTINEL):
        raise InputError(
            "the chat template puts nothing after an answer, so it has no end that could be learned (the tokenizer's "
            f"end tokens are {known}); {WAY_OUT}"
        )
    token = tokenizer.decode(found[:1])
    raise InputError(
        f"the chat template ends an answer with {token!r}, which is not an end token of the tokenizer ({known}); "
        f"model.eos_token: {token!r} makes it one"
    )


def _require_beginning(prompt: str, before: str, asked: str) -> None:
    """Raises InputError unless the prompt is what stands before an answer; `asked` is it without a generation prompt.

    An empty thought that a prompt adds is no difference: templates leave thoughts out of turns that are answered.
    """
    added = prompt.removeprefix(before.rstrip()) if prompt.startswith(before.rstrip()) else None
    if added is not None and (not added.strip() or EMPTY_THOUGHT.fullmatch(added.strip())):
        return
    if added is not None:
        raise InputError(
            f"the chat template begins an answer with {added.strip()[:40]!r}, as that of a model which always thinks "
            f"first does; choose an instruct model that can answer at once, or {WAY_OUT}"
        )
    between = before.removeprefix(prompt)
    if prompt == asked and before.startswith(prompt) and between.strip():
        raise InputError(
            "the chat template has no add_generation_prompt, so nothing tells the model to answer (an answer begins "
            f"with {between.strip()[:40]!r}); {WAY_OUT}"
        )
    if before.startswith(prompt) and between.strip():
        raise InputError(
            f"the chat template puts {between.strip()[:40]!r} between a prompt and its answer, as that of a model "
            f"which always thinks first does; choose an instruct model that can answer at once, or {WAY_OUT}"
        )
    if not before.startswith(prompt):
        raise InputError(f"the chat template renders a prompt differently before and after its answer; {WAY_OUT}")
