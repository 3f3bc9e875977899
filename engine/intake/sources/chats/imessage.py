"""Reads the text files of imessage-exporter: a stamp, a name and the text on lines of their own."""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from engine.intake.sources.chats.shapes import IMESSAGE, LONGEST_NAME
from engine.intake.sources.chats.stamps import DATE, TIME, Order, seconds
from engine.intake.sources.items import Dropped, Item, Message, Tally
from engine.intake.sources.sorting import sort
from engine.intake.sources.streams import lines_of

NOTICE = re.compile(rf"\s*{DATE}\s{{1,2}}{TIME}\s\S.*")  # You renamed the conversation to …
ANSWERED = "This message responded to an earlier message."
BELOW = ("Tapbacks:", "Reactions:")
ATTACHMENT = re.compile(r"(?:~|/|[A-Z]:\\|attachments/).*\.\w{2,5}|Attachment missing!|.+ not found!", re.I)
EFFECT = re.compile(r"Sent with [A-Z][\w ]{2,20}|SharePlay Message|Ended")
EDIT = re.compile(r"Edited .{3,60} later: (.*)")
UNSENT = re.compile(r"(?:You|They|.{1,60}) (?:deleted|unsent) (?:a|this) message.*")
SELF = "Me"


def read_imessage(path: Path) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of one conversation. Answers, which are indented below their question, follow it as messages."""

    def read(tally: Tally) -> Iterator[Item]:
        order = Order()
        for _, line in lines_of(path, Tally()):
            if match := IMESSAGE.match(line):
                order.note(match["date"], match["time"])
        for number, lines in _blocks(path, tally):
            tally.units += 1
            yield from _items(number, lines, order.best, path.stem)

    return read


def _blocks(path: Path, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """Yields each message, from its stamp to the next one, and each notice of the program."""
    block: list[str] = []
    start, before = 1, ""
    for number, line in chain(lines_of(path, tally), [(0, None)]):
        begins = line is not None and (IMESSAGE.match(line) or (not before.strip() and NOTICE.match(line)))
        if block and (line is None or begins):
            if any(text.strip() for text in block):
                yield start, block
            block = []
        if line is not None:
            start = start if block else number
            block.append(line)
            before = line


def _items(number: int, lines: list[str], order: str, thread: str) -> Iterator[Item]:
    place, match = f"line {number}", IMESSAGE.match(lines[0])
    whole = "\n".join(lines).strip()
    author = lines[1].strip() if match and len(lines) > 1 else ""
    if match is None or not author or len(author) > LONGEST_NAME:
        yield Dropped(place, "system", whole)
        return
    said: list[str] = []
    below = gone = media = False
    for line in (raw.strip() for raw in lines[2:]):
        below = (below or line in BELOW) and bool(line)
        if below or line == ANSWERED or EFFECT.fullmatch(line):
            yield Dropped(place, "system", line, part=True)
        elif UNSENT.fullmatch(line):
            gone = True
            yield Dropped(place, "deleted", line, part=True)
        elif ATTACHMENT.fullmatch(line):
            media = True
            yield Dropped(place, "media", line, part=True)
        elif edit := EDIT.fullmatch(line):
            yield Dropped(place, "deleted", "\n".join(said), part=True)  # the last wording counts
            said = [edit[1]]
        else:
            said.append(line)
    reason, text = sort("\n".join(said))
    if reason is not None:
        yield Dropped(place, "media" if media and reason == "empty" else "deleted" if gone else reason, whole)
        return
    time = seconds(match["date"], match["time"], order)
    yield Message(author, time, text, thread, place, author == SELF)
