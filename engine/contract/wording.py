"""Small parts of messages: the nearest known word, a count with its noun, a value cut to a line."""

import difflib
import reprlib
from typing import Any

LONGEST = 60  # characters of a value in an error message
BRIEF = reprlib.Repr()  # what it leaves out of a long or deep value would be cut from the line in any case
BRIEF.maxlevel = 4
BRIEF.maxlist = BRIEF.maxtuple = BRIEF.maxdict = BRIEF.maxset = BRIEF.maxfrozenset = 16
BRIEF.maxstring = BRIEF.maxother = BRIEF.maxlong = 4 * LONGEST


def nearest(word: str, known: Any) -> str:
    """`; did you mean …?`, or the list of what there is."""
    close = difflib.get_close_matches(word[:LONGEST], [str(item) for item in known], n=1, cutoff=0.5)
    return f"; did you mean {short(close[0])}?" if close else f"; known are {', '.join(sorted(map(str, known)))}"


def several(count: int, noun: str) -> str:
    """`1 topic`, `2 topics`: a noun that takes an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def short(value: Any) -> str:
    """A value as it reads in an error message, cut to a line."""
    try:
        text = BRIEF.repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number of more digits than Python writes
        text = type(value).__name__
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
