"""Renders rows to token ids for training and evaluation, and checks them against the chat template."""

from collections.abc import Iterable, Sequence

from engine.contract.errors import InputError
from engine.data.forms.row_types import Conversation
from engine.data.templates.chat_template import Example, Message
from engine.rules.enforce import CHECKS, require
from engine.training.session import Session


def render(session: Session, rows: Iterable[Conversation]) -> list[Example]:
    """Renders rows. A row that is too long is cut, with a warning in the journal.

    Raises InputError with file and line if a row cannot be rendered.
    """
    examples = []
    for where, messages, answer, since in rows:
        try:
            example = session.renderer.example(messages, answer, session.config.model.max_length, since)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        template(session, messages, example.ids[: example.prompt], where, example.cut)
        if example.cut:
            limit = session.config.model.max_length
            session.recorder.warn("cut", f"{where}: cut at model.max_length = {limit} tokens")
        examples.append(example)
    return examples


def tokens_of(examples: Sequence[Example]) -> tuple[int, int]:
    """Returns the number of supervised tokens and the number of all tokens."""
    return sum(example.supervised for example in examples), sum(len(example.ids) for example in examples)


@CHECKS.timed()
def template(
    session: Session, messages: Sequence[Message], prompt: Sequence[int], where: str, cut: bool = False
) -> None:
    """Checks rule 13: a prompt equals the output of the model's own chat template. Plain text has no prompt.

    The prompt of a row whose last turns were cut is the beginning of that output.
    """
    made = session.renderer.template_ids(messages) if messages else []
    same = not messages or list(prompt) == (made[: len(prompt)] if cut else made)
    require("one-template", same, f"{where}: begins with other tokens than the model's own chat template makes")
