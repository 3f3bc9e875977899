"""Reads chats in lines: WhatsApp, Signal and others, by the shape that their lines have."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.intake.sources.chats.shapes import DATE_LINE, LONGEST_NAME, PLAIN, Shape
from engine.intake.sources.chats.stamps import Order, seconds
from engine.intake.sources.items import Dropped, Item, Message, Tally
from engine.intake.sources.sorting import INVISIBLE, caption, sort
from engine.intake.sources.streams import lines_of

MAX_TEXT = 1 << 20  # characters of one message; what follows is a message of its own
PROGRAM = "\u200e"  # WhatsApp on iOS begins with it what the program wrote
QUOTE = re.compile(
    r"\n\n> (?:[^\n]*\n(?:> )?)*?\n|^\s*> [^\n]*(?:\n> [^\n]*)*\n+"
)  # as sigexport puts it before an answer
REACTIONS = re.compile(r"\n\(- .* -\)\s*$|\n\(\( .* \)\)\s*$")
LINKED = re.compile(r"!?\[[^\]\n]*\]\(\.{1,2}/[^)\n]*\)\s*")  # a file beside a Markdown chat
SELF = ("Me",)


@dataclass(slots=True)
class Open:
    """A message whose lines are still being read."""

    number: int
    date: str
    time: str
    author: str | None
    text: list[str] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class Survey:
    """What a first pass over the file finds: the order of its dates, and how often each name stands in a head."""

    order: Order = field(default_factory=Order)
    names: Counter[str] = field(default_factory=Counter)

    def is_person(self, name: str) -> bool:
        """Whether a name is one, and not a sentence of the program with a colon in it."""
        odd = any(mark in name for mark in '"“”„«»‘') or len(name.split()) > 5
        return not odd or self.names[name] > 2

    @property
    def marked(self) -> bool:
        """Whether the export names the person `Me`."""
        return any(name in SELF for name in self.names)


def survey(path: Path, shape: Shape) -> Survey:
    """Reads the heads of all messages. The names are those of people, a few thousand at most."""
    found = Survey()
    for _, line in lines_of(path, Tally()):
        if match := shape.head.match(line):
            name = _name(match)
            if name in found.names or len(found.names) < 10_000:
                found.names[name] += 1
            found.order.note(*_stamp(match, ""))
        elif date := DATE_LINE.fullmatch(line[:80]):
            found.order.note(date["date"], "")
    return found


def read_lines(path: Path, shape: Shape, own_names: bool) -> Callable[[Tally], Iterator[Item]]:
    """Returns a reader of a chat in lines; `own_names` says that the program calls the person `Me`."""

    def read(tally: Tally) -> Iterator[Item]:
        found = survey(path, shape)
        order = found.order.best
        own = own_names and found.marked
        for one in _messages(path, shape, found, tally):
            tally.units += 1
            yield from _items(one, order, path.stem if path.stem != "_chat" else path.parent.name, own)

    return read


def _messages(path: Path, shape: Shape, found: Survey, tally: Tally) -> Iterator[Open]:
    """Yields each message, and each line of the program, with all of its lines."""
    current: Open | None = None
    date = ""
    for number, line in lines_of(path, tally):
        begun: Open | None = None
        match = shape.head.match(line)
        if match and (shape is not PLAIN or found.names[_name(match)] > 2) and found.is_person(_name(match)):
            date, time = _stamp(match, date)
            begun = Open(number, date, time, _name(match), [match["text"]])
        elif shape.bare and (match := shape.bare.match(line)):
            date, time = _stamp(match, date)
            begun = Open(number, date, time, None, [match["text"]])
        elif _without_date(shape) and (match := DATE_LINE.fullmatch(line[:80])):
            date = match["date"]
            begun = Open(number, date, "", None, [line])
        if begun is None and (current is None or current.size > MAX_TEXT):
            if current is None and not line.strip():
                continue
            begun = Open(number, date, "", None if current is None else current.author, [line])
        if begun is None and current is not None:
            current.text.append(line)
            current.size += len(line)
            continue
        if current is not None:
            yield current
        current = begun
    if current is not None:
        yield current


def _without_date(shape: Shape) -> bool:
    """Whether heads of a shape need not have a date, so that lines with dates stand between them."""
    return shape.head.pattern.count("(?P<date2>") == 0


def _items(one: Open, order: str, thread: str, own: bool) -> Iterator[Item]:
    place, text = f"line {one.number}", "\n".join(one.text).rstrip()
    if one.author is None:
        yield Dropped(place, "system", INVISIBLE.sub("", text).strip())
        return
    by_program = text.startswith(PROGRAM)
    file, words = caption(text)
    if file:
        yield Dropped(place, "media", file, part=True)
    if own:
        words, parts = _signal(words, place)
        yield from parts
    reason, words = sort(words, by_program=by_program and not file)
    if reason is not None:
        yield Dropped(
            place,
            "media" if reason == "empty" and own and text.strip() else reason,
            text if reason == "empty" else words,
        )
        return
    mine = one.author in SELF if own else None
    yield Message(one.author, seconds(one.date, one.time, order), words, thread, place, mine)


def _signal(text: str, place: str) -> tuple[str, list[Dropped]]:
    """Returns the words of a message of sigexport, and what else it puts there: quotations, reactions, files."""
    parts = []
    for pattern, reason in ((REACTIONS, "system"), (QUOTE, "quoted"), (LINKED, "media")):
        for found in pattern.findall(text):
            parts.append(Dropped(place, reason, found.strip(), part=True))  # type: ignore[arg-type]  # a Reason
        text = pattern.sub("", text)
    return text.strip(), parts


def _name(match: re.Match[str]) -> str:
    return INVISIBLE.sub("", match["name"]).strip().removeprefix("~").strip()[:LONGEST_NAME]


def _stamp(match: re.Match[str], date: str) -> tuple[str, str]:
    """Returns the date and the time of a head; a head without a date has that of the line with one above it."""
    found = match.groupdict()
    return found.get("date") or found.get("date2") or date, found.get("time") or found.get("time2") or ""
