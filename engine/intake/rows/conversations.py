"""Makes conversations of messages: what others wrote and what the person answered."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from engine.contract.workbook.drafts import Role, Turn
from engine.intake.rows.parts import Left, Part
from engine.intake.sources.items import Message

ANSWERS = 4  # of the person in one conversation; a longer one goes on as the next
MESSAGES = 200  # of one conversation; a longer one is cut, so that memory is bounded
OPEN = 1000  # threads that may be unfinished at a time, as the mails of a mailbox
NOT_ANSWERED = "not answered"


@dataclass(slots=True)
class _Conversation:
    """A conversation that may go on, with the role of each message's author."""

    messages: list[tuple[Role, Message]] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """How many turns of the person it has."""
        return sum(role == "assistant" for role, _ in groupby(role for role, _ in self.messages))


class Conversations:
    """Takes messages in the order of a source, and returns the parts of conversations that are over.

    A conversation ends after `silence` seconds; if its author writes again after `window` seconds without an answer;
    and after ANSWERS answers of the person.
    """

    def __init__(self, mine: Callable[[Message], bool], window: float, silence: float) -> None:
        self._mine, self._window, self._silence = mine, window, silence
        self._open: OrderedDict[str, _Conversation] = OrderedDict()

    def take(self, message: Message) -> Iterator[Part | Left]:
        """Adds a message; yields what is over."""
        role: Role = "assistant" if self._mine(message) else "user"
        conversation = self._open.setdefault(message.thread, _Conversation())
        self._open.move_to_end(message.thread)
        if conversation.messages and self._ends(conversation, role, message):
            yield from _parts(conversation)
            conversation.messages = []
        conversation.messages.append((role, message))
        if len(self._open) > OPEN:
            yield from _parts(self._open.popitem(last=False)[1])

    def end(self) -> Iterator[Part | Left]:
        """Yields what is still open at the end of a source."""
        while self._open:
            yield from _parts(self._open.popitem(last=False)[1])

    def _ends(self, conversation: _Conversation, role: Role, message: Message) -> bool:
        """Tells whether the message begins another conversation."""
        before, last = conversation.messages[-1]
        apart = abs(message.time - last.time) if message.time is not None and last.time is not None else 0.0
        if apart > self._silence or (last.author == message.author and apart > self._window):
            return True
        if len(conversation.messages) >= MESSAGES:
            return True
        return (before, role) == ("assistant", "user") and conversation.answers >= ANSWERS


def _parts(conversation: _Conversation) -> Iterator[Part | Left]:
    """Yields what the person wrote before anybody else as a part, the conversation, and what was not answered."""
    runs = [(role, [message for _, message in run]) for role, run in groupby(conversation.messages, lambda one: one[0])]
    if runs and runs[0][0] == "assistant":
        yield _part(runs[:1])
        runs = runs[1:]
    left = runs.pop()[1] if runs and runs[-1][0] == "user" else []
    if runs:
        yield _part(runs)
    for message in left:
        yield Left(message.place, NOT_ANSWERED, message.text)


def _part(runs: list[tuple[Role, list[Message]]]) -> Part:
    turns = tuple(Turn(role, "\n".join(message.text for message in messages)) for role, messages in runs)
    first = runs[0][1][0]
    return Part(turns, first.place, sum(len(messages) for _, messages in runs), first.thread)
