"""Drafts of training rows, a person's decisions about them, and the texts that a model made for them."""

import hashlib
from typing import Annotated, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Role = Literal["user", "assistant"]
Field = Literal["question", "rejected"]


class Turn(Struct, frozen=True):
    """One turn of a conversation: `user` is anybody else, `assistant` is the person."""

    role: Role
    text: str


class Draft(Struct, frozen=True):
    """A conversation that ends with the person's words, or a passage of theirs (one turn, without a question).

    `source` is the name of its file below the path that `--from` named; `place` is where it stands in it, in words
    (`message 12`, `line 4`). `heading` is the folder or the heading that it stands under. `flags` are remarks for the
    review, such as `short` or `private: mail address`; a draft with a flag of `SET_ASIDE` is left out unless the person
    keeps it. `rejected` is the other answer of a pair, if the source has pairs.
    """

    id: Id
    source: str
    place: str
    turns: Annotated[tuple[Turn, ...], Meta(min_length=1)]
    heading: str = ""
    flags: tuple[str, ...] = ()
    rejected: str | None = None

    @property
    def answer(self) -> str:
        """The person's last words."""
        return self.turns[-1].text

    @property
    def is_passage(self) -> bool:
        """Whether it has no question, so that a model has to write one."""
        return self.turns[0].role == "assistant"


SET_ASIDE = ("short", "long", "near-duplicate", "language")  # first words of flags that leave a draft out


class Decision(Struct, frozen=True):
    """A person's decision about a draft; None leaves the matter as it was made. The last decision counts whole.

    `turns` are the edited ones, `question` is the edited question of a passage.
    """

    draft: Id
    keep: bool | None = None
    topic: str | None = None
    turns: tuple[Turn, ...] | None = None
    question: str | None = None


class Made(Struct, frozen=True):
    """A text that the base model wrote for a draft: the question of a passage, or an answer to be rejected."""

    draft: Id
    field: Field
    text: str


class Topic(Struct, frozen=True):
    """A topic of the workbook; `id` is of the form unit/chapter/topic."""

    id: str
    title: str


def draft_id(turns: tuple[Turn, ...]) -> str:
    """Returns the id of a draft: a digest of its turns as they were read, before anything in them was replaced.

    So the same text read again keeps its decisions.
    """
    whole = "\x1e".join(f"{turn.role}\x1f{turn.text}" for turn in turns)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]
