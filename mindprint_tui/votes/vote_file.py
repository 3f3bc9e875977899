"""The votes of a run, in votes.jsonl of its folder: one whole line for each vote and for each one taken back."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from engine.contract.errors import InputError, Unwritable
from engine.contract.journal.codec import sum_is_wrong, with_sum
from engine.contract.names import TOPIC_ID
from engine.contract.regular_file import STATE, read_bytes
from engine.contract.run_folder.files import append_line
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import several

Choice = Literal["1", "2", "=", "0"]
DECIDED = ("1", "2")
PAIR = re.compile(r"[0-9a-f]{16}")
Share = Annotated[float, Meta(ge=0, le=1)]


class Side(Struct, frozen=True):
    """An answer as it was shown: where it comes from, its voice and the reason if the score calls it void."""

    run: str
    stage: str
    answer: str
    voice: Share | None = None
    void: str | None = None


class Vote(Struct, frozen=True, tag_field="kind", tag="vote"):
    """A vote on the pair of answers `pair`: 1 is `first`, 2 is `second`, = is both alike and 0 neither of them.

    `first` and `second` are in the order in which they were shown, which follows from `seed`.
    """

    pair: str
    t: float  # unix seconds
    seed: int
    topic: str
    question: str
    first: Side
    second: Side
    choice: Choice

    @property
    def sides(self) -> tuple[Side, Side] | None:
        """The preferred answer and the other one; None if the vote prefers neither."""
        return {"1": (self.first, self.second), "2": (self.second, self.first)}.get(self.choice)


class Undo(Struct, frozen=True, tag_field="kind", tag="undo"):
    """Takes the vote on a pair back."""

    pair: str
    t: float


_decode = msgspec.json.Decoder(Vote | Undo).decode


@dataclass(slots=True)
class Votes:
    """The votes that stand, by pair, in the order of voting; `damaged` counts lines that cannot be read."""

    standing: dict[str, Vote] = field(default_factory=dict)
    damaged: int = 0

    def take(self, line: Vote | Undo) -> None:
        """Adds a vote, which replaces an earlier one on the same pair, or takes one back."""
        self.standing.pop(line.pair, None)
        if isinstance(line, Vote):
            self.standing[line.pair] = line

    def last(self, pairs: Iterable[str]) -> Vote | None:
        """Returns the latest vote on one of these pairs."""
        wanted = set(pairs)
        return next((vote for pair, vote in reversed(self.standing.items()) if pair in wanted), None)

    @property
    def damage(self) -> str:
        """A sentence that counts the lines that cannot be read; empty if there is none."""
        return f"{several(self.damaged, 'line')} of votes.jsonl cannot be read" if self.damaged else ""


def read_votes(run: RunDir) -> Votes:
    """Returns the votes of a run; none if it has no such file.

    A torn last line counts as damaged. Raises InputError if the file cannot be read or is too large.
    """
    votes = Votes()
    try:
        data = read_bytes(run.votes, STATE)
    except FileNotFoundError:
        return votes
    except OSError as error:
        raise InputError(f"{run.votes}: the votes cannot be read ({error.strerror or error})") from error
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        if (found := parse(line)) is None:
            votes.damaged += 1
        else:
            votes.take(found)
    return votes


def parse(line: bytes) -> Vote | Undo | None:
    """Returns the vote or undo in a line, or None if it is damaged."""
    if sum_is_wrong(line):
        return None
    try:
        found = _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    sound = PAIR.fullmatch(found.pair) and (isinstance(found, Undo) or TOPIC_ID.fullmatch(found.topic))
    return found if sound else None


def append(run: RunDir, line: Vote | Undo) -> None:
    """Appends a vote or an undo in one write; it is on the disk when this returns. Raises Unwritable."""
    try:
        append_line(run.votes, with_sum(msgspec.json.format(msgspec.json.encode(line), indent=0)), durable=True)
    except OSError as error:
        raise Unwritable(run.votes, error) from error


def undo(pair: str) -> Undo:
    """Returns the line that takes the vote on a pair back now."""
    return Undo(pair, round(time.time(), 3))
