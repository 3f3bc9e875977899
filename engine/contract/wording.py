"""Parts of messages: the nearest known word, a count with its noun, a value cut to one line."""

import difflib
import reprlib
from typing import Any

LONGEST = 60  # most characters of a value in an error message
BRIEF = reprlib.Repr()  # leaves out parts of a long or deep value that the line would not show anyway
BRIEF.maxlevel = 4
BRIEF.maxlist = BRIEF.maxtuple = BRIEF.maxdict = BRIEF.maxset = BRIEF.maxfrozenset = 16
BRIEF.maxstring = BRIEF.maxother = BRIEF.maxlong = 4 * LONGEST


def nearest(word: str, known: Any) -> str:
    """Returns `; did you mean …?`, or the list of known words if none is near."""
    close = difflib.get_close_matches(word[:LONGEST], [str(item) for item in known], n=1, cutoff=0.5)
    return f"; did you mean {short(close[0])}?" if close else f"; known are {', '.join(sorted(map(str, known)))}"


def several(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 topic`, `2 topics`. The plural of the noun must take an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unreadable_lines(count: int) -> str:
    """Returns what every reader of a run says about damaged lines: `2 lines of the journal cannot be read`."""
    return f"{several(count, 'line')} of the journal cannot be read"


def short(value: Any) -> str:
    """Returns a value as error messages show it, cut to LONGEST characters."""
    try:
        text = BRIEF.repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number with more digits than Python prints
        text = type(value).__name__
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
