"""Renders conversations as token ids with the model's chat template: for SFT, DPO and evaluation."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from jinja2 import TemplateError

from engine.contract.errors import InputError
from engine.contract.wording import short
from engine.data.templates.earlier_answers import WAY_OUT, Range, places, token_ranges
from engine.data.templates.end_of_answer import SENTINEL, end_token
from engine.data.templates.named import default_template, end_ids, template_text
from engine.runtime.limits import limited, limited_memory

PATIENCE = 20.0  # time limit of a template for one row, in seconds
ROOM = 2 << 30  # its memory limit, in bytes
LONGEST = 64 << 20  # its output limit, in characters
NOW = re.compile(r"""strftime_now\s*\(\s*(["'])(.*?)\1\s*\)""")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is system, user or assistant. An answer that is not `trained` is read as context alone."""

    role: str
    content: str
    trained: bool = True


QUESTION, ANSWER = Message("user", "A question."), Message("assistant", SENTINEL)


@dataclass(frozen=True, slots=True)
class Example:
    """A rendered row: `ids` is the prompt, then the answer, then one end token; `prompt` counts the prompt's tokens.

    Tokens from `prompt` on are supervised, and those in `earlier`: the ranges of answers within the prompt that are
    trained, too. A row longer than the limit is `cut`: it loses the end of its answer, or its last turns. An answer
    that is cut has no end token, so that the model does not learn to stop in the middle of a sentence.
    """

    ids: tuple[int, ...]
    prompt: int
    answer_tokens: int
    cut: bool
    earlier: tuple[Range, ...] = ()

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The supervised tokens, in order."""
        last = (self.prompt, len(self.ids))
        return (*self.earlier, last) if last[0] < last[1] else self.earlier

    @property
    def supervised(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    @property
    def targets(self) -> list[int]:
        """The supervised token ids, in order."""
        return [token for start, stop in self.ranges for token in self.ids[start:stop]]


class Renderer:
    """Renders with the model's own chat template; `end_id` is the token that the template puts after an answer.

    Many templates state the date. The renderer always gives them the day (UTC) on which the run began. A row therefore
    has the same tokens before and after midnight, and in a resumed run.
    """

    def __init__(
        self, tokenizer: Any, started: float | None = None, chat_template: str = "", eos_token: str = ""
    ) -> None:
        """`started` is the start of the run in Unix seconds; the default is now.

        `chat_template` and `eos_token` are settings of `model` that take the place of what the tokenizer has. Raises
        InputError if there is no chat template, or if the template adds no end token to an answer. Also raises it if
        the template states the date in a form that cannot be computed in advance.
        """
        self._tokenizer = tokenizer
        text = template_text(chat_template) if chat_template else default_template(tokenizer)
        if not text and not getattr(tokenizer, "has_chat_template", False):
            raise InputError(
                "the model's tokenizer has no chat template; choose an instruct model, or name a template: "
                "model.chat_template: chatml"
            )
        day = datetime.fromtimestamp(time.time() if started is None else started, UTC).date()
        fixed = _as_of(text, day) or ({"chat_template": text} if chat_template else {})
        self.template_arguments: dict[str, Any] = {**fixed, "enable_thinking": False}
        self.end_ids: frozenset[int] = end_ids(tokenizer, chat_template, eos_token)
        self.end_id = end_token(self._sketch, self._encode, tokenizer, self.end_ids)
        self.special_tokens: tuple[str, ...] = self._find_marks()
        self._lengths: dict[tuple[tuple[Message, ...], str, int, int | None], int] = {}

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Returns the token ids of the conversation, up to the point at which the model begins its answer."""
        return self._encode(self.text(messages, answering=True))

    def text_ids(self, text: str) -> list[int]:
        """Returns the token ids of plain text, including any tokens that the tokenizer adds before it."""
        return list(self._tokenizer.encode(text))

    def example(self, messages: Sequence[Message], answer: str, max_length: int, since: int | None = None) -> Example:
        """Renders a training row. Answers in `messages` from number `since` on are supervised, too; by default none is.

        If there are no messages, the answer is plain text. Its first token then serves as the prompt and all other
        tokens are supervised, as in mlx-lm.

        Raises InputError if the prompt alone fills max_length tokens. Also raises it if a message contains a special
        token: the model would learn it as the end of a turn, or as the start of the user's next turn.
        """
        found = self._example(messages, answer, max_length, since)
        self._lengths[tuple(messages), answer, max_length, since] = len(found.ids)
        return found

    def length(self, messages: Sequence[Message], answer: str, max_length: int, since: int | None = None) -> int:
        """Returns the number of tokens of example(...) with these arguments, and renders no row twice for it."""
        row = (tuple(messages), answer, max_length, since)
        if row not in self._lengths:
            self.example(*row)
        return self._lengths[row]

    def _example(self, messages: Sequence[Message], answer: str, max_length: int, since: int | None) -> Example:
        if not messages:
            return self._plain(answer.strip(), max_length)
        self._require_no_marks(messages, answer)
        trained = [] if since is None else [i for i in range(since, len(messages)) if _learned(messages[i])]
        prompt, completion = self.prompt_ids(messages), self._encode(answer.strip())
        earlier = self._earlier(messages, trained, prompt) if trained else ()
        if len(prompt) + 2 > max_length:
            if earlier := tuple((start, min(stop, max_length)) for start, stop in earlier if start < max_length):
                return Example(tuple(prompt[:max_length]), max_length, 0, True, earlier)  # the last turns do not fit
            raise InputError(f"the prompt has {len(prompt)} tokens; model.max_length is {max_length}")
        ids = [*prompt, *completion, self.end_id][:max_length]
        cut = len(prompt) + len(completion) + 1 > max_length
        return Example(tuple(ids), len(prompt), len(completion), cut, earlier)

    def _require_no_marks(self, messages: Sequence[Message], answer: str) -> None:
        for name, content in (("answer", answer), *((turn.role, turn.content) for turn in messages)):
            for token in self.special_tokens:
                if token in content:
                    what = {"user": "prompt", "system": "system message", "assistant": "answer"}.get(name, name)
                    raise InputError(f"the {what} has {token} in it, which the model reads as a mark, not as text")

    def _earlier(self, messages: Sequence[Message], trained: Sequence[int], ids: Sequence[int]) -> tuple[Range, ...]:
        """Returns the tokens of the answers with these numbers in the prompt `ids`."""
        text = self.text(messages, answering=True)
        sentinels = [f"{SENTINEL} ({number})" for number in trained]
        marked = list(messages)
        for number, sentinel in zip(trained, sentinels, strict=True):
            marked[number] = replace(marked[number], content=sentinel)
        found = places(
            text, self.text(marked, answering=True), sentinels, [messages[number].content for number in trained]
        )
        return token_ranges(found, self._offsets(text, ids), text, ids, self.end_ids)

    def _offsets(self, text: str, ids: Sequence[int]) -> list[Range]:
        """Returns the characters of each token of a text. Raises InputError if the tokenizer does not know them."""
        tokenizer = getattr(self._tokenizer, "_tokenizer", self._tokenizer)
        try:
            found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        except NotImplementedError as error:
            raise InputError(f"the model's tokenizer does not tell where its tokens stand; {WAY_OUT}") from error
        if list(found["input_ids"]) != list(ids):
            raise InputError(f"the model's tokenizer makes other tokens of a text with their places; {WAY_OUT}")
        return [(start, stop) for start, stop in found["offset_mapping"]]

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
            hint = "; curriculum.system: into_question puts it before the question" if "system" in roles else ""
            raise InputError(f"the model's chat template refuses the turns {roles}: {error}{hint}") from error
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

    def _sketch(self, answered: bool, asked_again: bool, answering: bool) -> str:
        """Renders a question, with an answer and with a question after it if asked for."""
        turns = [QUESTION, *([ANSWER] if answered else []), *([QUESTION] if asked_again else [])]
        return self.text(turns, answering=answering)


def _learned(message: Message) -> bool:
    return message.role == "assistant" and message.trained


def _as_of(template: str, day: date) -> dict[str, str]:
    """Returns the keyword argument that makes the template state this day; empty if the template states no date.

    Raises InputError if the template asks for the date in a form that cannot be computed in advance.
    """
    if "strftime_now" not in template:
        return {}
    text = NOW.sub(lambda asked: repr(day.strftime(asked[2])), template)
    if re.search(r"strftime_now\s*\(", text):
        raise InputError("the model's chat template states the time in a form that cannot be held to a run's first day")
    return {"chat_template": text}
