"""The rows of a curriculum after parsing: training rows, pairs and held-out questions."""

from dataclasses import dataclass
from typing import NamedTuple

from engine.contract.errors import InputError
from engine.data.templates.chat_template import Message


class Conversation(NamedTuple):
    """What is rendered of a row: messages, the answer to train on, and from which message on answers are trained, too.

    `where` is file:line. If `since` is None, only `answer` is trained.
    """

    where: str
    messages: tuple[Message, ...]
    answer: str
    since: int | None = None


@dataclass(frozen=True, slots=True)
class SftRow:
    """A conversation and the answer to train on; `where` is file:line. A row of plain text has no messages."""

    messages: tuple[Message, ...]
    answer: str
    where: str

    def conversation(self, answers: str) -> Conversation:
        """Returns what is rendered if `answers`, the setting sft.answers, is "every" or "last"."""
        return Conversation(self.where, self.messages, self.answer, 0 if answers == "every" else None)


@dataclass(frozen=True, slots=True)
class Pair:
    """A conversation with a chosen and a rejected answer.

    If the sides go on for several turns, `chosen_turns` and `rejected_turns` are the messages between the conversation
    and each side's last answer.
    """

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    heldout: bool | None
    where: str
    chosen_turns: tuple[Message, ...] = ()
    rejected_turns: tuple[Message, ...] = ()

    @property
    def sides(self) -> tuple[Conversation, Conversation]:
        """The chosen and the rejected side. All answers after the prompt are trained."""
        since = len(self.messages)
        chosen = Conversation(self.where, (*self.messages, *self.chosen_turns), self.chosen, since)
        return chosen, Conversation(self.where, (*self.messages, *self.rejected_turns), self.rejected, since)


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question with its reference answer and the concepts that an answer should mention.

    `before` are the messages before the question: a system message, or earlier turns.
    """

    question: str
    reference: str
    concepts: tuple[str, ...]
    where: str
    before: tuple[Message, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that is answered."""
        return (*self.before, Message("user", self.question))


class NotTrained(InputError):
    """A row says of itself that it is not to be trained on, such as `"label": false` of KTO."""
