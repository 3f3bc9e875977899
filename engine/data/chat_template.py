"""Renders conversations as token ids with the model's chat template: for SFT, DPO and evaluation."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from jinja2 import TemplateError

from engine.contract.errors import InputError
from engine.contract.wording import short
from engine.runtime.limits import limited, limited_memory

PATIENCE = 20.0  # time limit of a template for one row, in seconds
ROOM = 2 << 30  # its memory limit, in bytes
LONGEST = 64 << 20  # its output limit, in characters
SENTINEL = "the answer stands here"
NOW = re.compile(r"""strftime_now\s*\(\s*(["'])(.*?)\1\s*\)""")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is system, user or assistant."""

    role: str
    content: str


QUESTION, ANSWER = Message("user", "A question."), Message("assistant", SENTINEL)


@dataclass(frozen=True, slots=True)
class Example:
    """A rendered row: `ids` is the prompt, then the answer, then one end token; `prompt` counts the prompt's tokens.

    Tokens from `prompt` on are supervised. A row longer than the limit is `cut`: it loses the end of its answer. It
    then has no end token either, so that the model does not learn to stop in the middle of a sentence.
    """

    ids: tuple[int, ...]
    prompt: int
    answer_tokens: int
    cut: bool

    @property
    def supervised(self) -> int:
        return len(self.ids) - self.prompt


class Renderer:
    """Renders with the model's own chat template; `end_id` is the token that the template puts after an answer.

    Many templates state the date. The renderer always gives them the day (UTC) on which the run began. A row therefore
    has the same tokens before and after midnight, and in a resumed run.
    """

    def __init__(self, tokenizer: Any, started: float | None = None) -> None:
        """`started` is the start of the run in Unix seconds; the default is now.

        Raises InputError if the model has no chat template, or if the template adds no end token to an answer. Also
        raises it if the template states the date in a form that cannot be computed in advance.
        """
        self._tokenizer = tokenizer
        if not getattr(tokenizer, "chat_template", None) and not getattr(tokenizer, "has_chat_template", False):
            raise InputError("the model's tokenizer has no chat template; choose an instruct model")
        day = datetime.fromtimestamp(time.time() if started is None else started, UTC).date()
        self.template_arguments: dict[str, Any] = {**_as_of(tokenizer, day), "enable_thinking": False}
        self.end_ids: frozenset[int] = frozenset(tokenizer.eos_token_ids)
        self.end_id = self._find_end()
        self.special_tokens: tuple[str, ...] = self._find_marks()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Returns the token ids of the conversation, up to the point at which the model begins its answer."""
        return self._encode(self.text(messages, answering=True))

    def text_ids(self, text: str) -> list[int]:
        """Returns the token ids of plain text, including any tokens that the tokenizer adds before it."""
        return list(self._tokenizer.encode(text))

    def example(self, messages: Sequence[Message], answer: str, max_length: int) -> Example:
        """Renders a training row.

        If there are no messages, the answer is plain text. Its first token then serves as the prompt and all other
        tokens are supervised, as in mlx-lm.

        Raises InputError if the prompt alone fills max_length tokens. Also raises it if the answer contains a special
        token: the model would learn it as the end of a turn, or as the start of the user's next turn.
        """
        if not messages:
            return self._plain(answer.strip(), max_length)
        if marks := [token for token in self.special_tokens if token in answer]:
            raise InputError(f"the answer has {marks[0]} in it, which the model reads as a mark and not as text")
        prompt, completion = self.prompt_ids(messages), self._encode(answer.strip())
        if len(prompt) + 2 > max_length:
            raise InputError(f"the prompt has {len(prompt)} tokens; model.max_length is {max_length}")
        ids = [*prompt, *completion, self.end_id][:max_length]
        cut = len(prompt) + len(completion) + 1 > max_length
        return Example(tuple(ids), len(prompt), len(completion), cut)

    def _plain(self, text: str, max_length: int) -> Example:
        ids = self.text_ids(text)
        if ids[-1] in self.end_ids:
            ids.pop()
        if len(ids) < 2:
            raise InputError(f"the text {text!r} is too short to learn from")
        whole = [*ids, self.end_id]
        return Example(tuple(whole[:max_length]), 1, len(ids) - 1, len(whole) > max_length)

    def template_ids(self, messages: Sequence[Message]) -> list[int]:
        """Returns the ids that the tokenizer makes directly from the conversation, to check prompt_ids against them."""
        return list(self._template(messages, answering=True, tokenize=True, return_dict=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of generated ids, with special tokens shown and surrounding white space removed."""
        text: str = self._tokenizer.decode(list(ids))
        return text.strip()

    def text(self, messages: Sequence[Message], answering: bool) -> str:
        """Returns the conversation as text; with `answering`, up to the point at which the model begins its answer.

        Raises InputError if the template refuses the messages, fails, or makes too much text.
        """
        try:
            text: str = self._template(messages, answering, tokenize=False)
        except InputError:
            raise
        except TemplateError as error:  # an unknown role, or turns in the wrong order
            roles = ", ".join(message.role for message in messages)
            raise InputError(f"the model's chat template refuses the turns {roles}: {error}") from error
        except Exception as error:  # a template is a program and can raise any exception
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise InputError(f"the model's chat template fails: {type(error).__name__}: {short(reason)}") from error
        if len(text) > LONGEST:
            raise InputError(f"the model's chat template makes {len(text):,} characters of a row; {LONGEST:,} at most")
        return text

    def _template(self, messages: Sequence[Message], answering: bool, **form: Any) -> Any:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        more = self.template_arguments | {"add_generation_prompt": answering}
        with limited(PATIENCE, "the model's chat template"), limited_memory(ROOM):
            return self._tokenizer.apply_chat_template(turns, **more, **form)

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _find_marks(self) -> tuple[str, ...]:
        """Returns the tokens that an answer must not contain: the tokenizer's and the template's special tokens.

        Other added tokens are allowed: some base models have <filename> as an added token, and people write that.
        """
        whole = self.text([QUESTION, ANSWER], answering=False)
        added = self._tokenizer.added_tokens_decoder.values()
        turns = [token.content for token in added if token.special and token.content in whole]
        return tuple(dict.fromkeys(filter(None, [*self._tokenizer.all_special_tokens, *turns])))

    def _find_end(self) -> int:
        prompt, whole = self.text([QUESTION], answering=True), self.text([QUESTION, ANSWER], answering=False)
        if not whole.startswith(prompt):
            raise InputError("the chat template renders a prompt differently before and after its answer")
        if not whole[len(prompt) :].lstrip().startswith(SENTINEL):
            raise InputError(
                "the chat template puts something between a prompt and its answer, as that of a model which always "
                "thinks first does; choose an instruct model that can answer at once"
            )
        tail = self._encode(whole[whole.rindex(SENTINEL) + len(SENTINEL) :])
        if not tail or tail[0] not in self.end_ids:
            raise InputError("the chat template does not end an answer with an end token of the tokenizer")
        return tail[0]


def _as_of(tokenizer: Any, day: date) -> dict[str, str]:
    """Returns the keyword argument that makes the template state this day; empty if the template states no date.

    Raises InputError if the template asks for the date in a form that cannot be computed in advance.
    """
    if "strftime_now" not in str(getattr(tokenizer, "chat_template", "")):
        return {}
    text = NOW.sub(lambda asked: repr(day.strftime(asked[2])), tokenizer.get_chat_template())
    if re.search(r"strftime_now\s*\(", text):
        raise InputError("the model's chat template states the time in a form that cannot be held to a run's first day")
    return {"chat_template": text}
