"""What readers yield: messages, passages, exchanges, and what they leave out, each with its place and reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

from engine.contract.workbook.drafts import Turn

Reason = Literal[
    "system",
    "media",
    "forwarded",
    "call",
    "deleted",
    "bot command",
    "link alone",
    "quoted",
    "signature",
    "code",
    "front matter",
    "boilerplate",
    "automatic",
    "empty",
    "damaged",
    "not trained",
]
REASONS: dict[Reason, str] = {  # what each reason means, in the words of the summary
    "system": "written by the program, not by a person",
    "media": "a picture, a voice message, a file or a sticker without words",
    "forwarded": "forwarded: somebody else's words",
    "call": "a call",
    "deleted": "deleted by its writer",
    "bot command": "a command to a bot",
    "link alone": "a link without words",
    "quoted": "quoted from somebody else",
    "signature": "the signature below a mail",
    "code": "a block of code, or a table",
    "front matter": "fields above a text, such as its date and tags",
    "boilerplate": "menus and other parts of a page around its text",
    "automatic": "written by a machine: a newsletter, a bounce, a bot",
    "empty": "without text",
    "damaged": "cannot be read",
    "not trained": "says of itself that it is not to be trained on",
}
assert set(REASONS) == set(get_args(Reason))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat or a mail, in its order within `thread`.

    `time` is in seconds since 1970; a time without a zone is taken as UTC. `mine` is what the file itself says about
    whether the person wrote it; None if it says nothing. `address` is a second name of the author: a mail address, a
    phone number or a user id.
    """

    author: str
    time: float | None
    text: str
    thread: str
    place: str
    mine: bool | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of the person's prose, which answers no question. `heading` is the one that it stands under."""

    text: str
    heading: str
    place: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A row that is a conversation already; it ends with the person's words (`assistant`).

    `topic` is the one that the row names. `rejected` is the other answer of a pair. A row of plain text is a Passage.
    """

    turns: tuple[Turn, ...]
    place: str
    topic: str = ""
    rejected: str | None = None
    system: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A unit that a reader leaves out, or a `part` of one (a quotation in a mail whose other text is a Message).

    `note` is a sentence about what is wrong, if the reason is "damaged".
    """

    place: str
    reason: Reason
    text: str
    note: str = ""
    part: bool = False


Item = Message | Passage | Exchange | Dropped


@dataclass(slots=True)
class Tally:
    """What was read of a source: `units` counts what its file holds, the others what became of it (rule 23).

    A unit is a message, a mail, a passage or a row. `position` and `size` are bytes, for the progress shown.
    """

    units: int = 0
    items: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)
    parts: Counter[Reason] = field(default_factory=Counter)
    position: int = 0
    size: int = 0
    remarks: list[str] = field(default_factory=list)

    def took(self, item: Item) -> None:
        """Counts an item."""
        if not isinstance(item, Dropped):
            self.items += 1
        elif item.part:
            self.parts[item.reason] += 1
        else:
            self.dropped[item.reason] += 1

    @property
    def adds_up(self) -> bool:
        """Whether every unit became an item or was dropped."""
        return self.units == self.items + self.dropped.total()
