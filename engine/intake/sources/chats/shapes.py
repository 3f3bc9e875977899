"""Shapes of chats in lines: where the date, the time, the name and the text of a message stand."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.intake.sources.chats.stamps import BETWEEN, DATE, TIME

MARKS = r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]*"
LONGEST_NAME = 60  # characters
NAME = rf"(?P<name>[^:\n<>\t]{{1,{LONGEST_NAME}}}?)"
SHORT_NAME = r"(?P<name>[^\W\d][^:\n<>\t\[\]()]{0,39}?)"
STAMP = rf"(?:(?P<date>{DATE}){BETWEEN}(?P<time>{TIME})|(?P<time2>{TIME}),?\s(?P<date2>{DATE}))"
MAYBE = rf"(?:(?P<date>{DATE}){BETWEEN})?(?P<time>{TIME})"
OPEN, CLOSE = r"[\[(<【]", r"[\])>】]"
LEAST = 3  # messages that a text must have to be taken for a chat


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write a message: `head` begins it. `bare` is a line of the program, with a stamp but no name."""

    name: str
    head: re.Pattern[str]
    bare: re.Pattern[str] | None = None


def _shape(name: str, head: str, bare: str | None = None) -> Shape:
    return Shape(name, re.compile(MARKS + head), re.compile(MARKS + bare) if bare else None)


STAMPED = rf"{OPEN}?{MAYBE}{CLOSE}?"
SHAPES = (
    _shape(
        "[date, time] name: text",
        rf"{OPEN}{STAMP}{CLOSE}\s?[-–]?\s?{MARKS}{NAME}{MARKS}\s?:(?:\s|$)(?P<text>.*)",
        rf"{OPEN}{STAMP}{CLOSE}\s{{0,8}}(?P<text>.*)",
    ),
    _shape(
        "[date, time] <name> text",
        rf"{STAMPED}\s{{1,8}}<[@+%&~ ]?(?P<name>[^<>\s][^<>]{{0,59}})>\s(?P<text>.*)",
        rf"{STAMPED}\s{{1,8}}(?P<text>.*)",
    ),
    _shape(
        "date, time, name and text between tabs",
        rf"{MAYBE}\t(?P<name>[^\t]{{1,60}})\t(?P<text>.*)",
        rf"{MAYBE}\t(?P<text>.*)",
    ),
    _shape(
        "date, time - name: text",
        rf"{STAMP}\s{{0,8}}[-–—|,:]?\s{{0,8}}{MARKS}{NAME}{MARKS}\s?:(?:\s|$)(?P<text>.*)",
        rf"{STAMP}\s{{0,8}}[-–—|,:]?\s{{0,8}}(?P<text>.*)",
    ),
    _shape(
        "name, [date, time] above the text",
        rf"(?P<name>[^\n\t\[\]<>]{{1,60}}?)(?:,\s|\s[—–-]\s|\s)\[?{STAMP}\]?:?\s{{0,8}}(?P<text>)$",
    ),
    _shape(
        "name (date, time): text",
        rf"(?P<name>[^:\n\t\[\]<>]{{1,60}}?),?\s?[(\[]{STAMP}[)\]]\s?:?\s(?P<text>.+)",
    ),
    _shape("[name] [time] text", rf"\[(?P<name>[^\[\]\n]{{1,60}})\]\s\[{MAYBE}\]\s(?P<text>.*)"),
    _shape(
        "[time] name: text",
        rf"{OPEN}{MAYBE}{CLOSE}\s{NAME}\s?:\s(?P<text>.*)",
        rf"{OPEN}{MAYBE}{CLOSE}\s{{0,8}}(?P<text>.*)",
    ),
    _shape("time name: text", rf"{MAYBE}\s[-–]?\s?{SHORT_NAME}\s?:\s(?P<text>.*)", rf"{MAYBE}\s(?P<text>.*)"),
    _shape(
        "name  time above the text",
        rf"(?P<name>[^\W\d][^:\n\t\[\]<>]{{0,40}}?)(?:\s{{2,8}}|\s[—–-]\s|,\s|\s){STAMPED}\s{{0,8}}(?P<text>)$",
    ),
)
PLAIN = Shape("name: text", re.compile(MARKS + SHORT_NAME + r"\s?:\s(?P<text>.*)"))
DATE_LINE = re.compile(rf"{MARKS}\W*(?P<date>{DATE})\W*")
IMESSAGE = re.compile(rf"\s*(?P<date>{DATE})\s{{1,2}}(?P<time>{TIME})(?:\s\((?:[^()]*)\))?\s*$")


def shape_of(lines: Sequence[str]) -> Shape | None:
    """Returns the shape of a chat that begins with these lines; None if they are no chat.

    The shape is the one with the most messages, and at least two names or one name again and again. Lines without a
    stamp are a chat only if nearly all of them begin with one of a few names.
    """
    texts = [line for line in lines if line.strip()]
    counts = {shape: _names(shape, texts) for shape in SHAPES}
    best = max(SHAPES, key=lambda shape: counts[shape].total())
    names = counts[best]
    if names.total() >= min(LEAST, max(len(texts), 1)) and names.total() >= 0.02 * len(texts) and _repeat(names):
        return best
    names = _names(PLAIN, texts)
    often = sum(count for count in names.values() if count >= LEAST)
    speakers = [name for name, count in names.items() if count >= LEAST]
    if 2 <= len(speakers) <= 8 and often >= 0.6 * len(texts) and all(len(name.split()) <= 3 for name in speakers):
        return PLAIN
    return None


def _names(shape: Shape, lines: Sequence[str]) -> Counter[str]:
    found = Counter[str]()
    for line in lines:
        if match := shape.head.match(line[:2000]):
            found[match["name"].strip()] += 1
    return found


def _repeat(names: Counter[str]) -> bool:
    """Whether the names recur as those of people do, not as words before a colon."""
    return names.total() <= 6 or len(names) <= 0.6 * names.total()


def is_imessage(lines: Sequence[str]) -> bool:
    """Whether lines are those of imessage-exporter: a stamp alone, a name alone, the text, an empty line."""
    heads = [
        at
        for at, line in enumerate(lines[:-2])
        if IMESSAGE.match(line) and 0 < len(lines[at + 1].strip()) <= LONGEST_NAME
    ]
    return len(heads) >= 2 and sum(not lines[at - 1].strip() for at in heads if at) >= 0.6 * (len(heads) - 1)
