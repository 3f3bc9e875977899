"""Sanitizes untrusted text, so that a terminal only displays it.

Nothing in the result can move the cursor, write the clipboard or reorder text. Control characters become visible (ESC
as ␛, a bidi override as \\u202e). Characters that are only invisible are dropped.
"""

import re
import sys
import unicodedata
from typing import Any

LONGEST = 20_000  # characters of one field that are kept
MARKS = 4  # combining marks on one character that are kept
DROPPED = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f"
    "\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0"
)
PLAIN = re.compile(r"[\n -~¡-¬®-ʯ‐-‧‰-⁞\u0410-\u044f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3]*")
NUMBERS = frozenset({int, float, bool, type(None)})
NEWLINES = {"\u2028": "\n", "\u2029": "\n", "\x85": "\n"}
TAB = "    "


def clean(text: str) -> str:
    """Returns safe text. Newlines stay, and a tab becomes four spaces.

    CR LF, NEL and the Unicode line separators become a newline.
    """
    if len(text) <= LONGEST and PLAIN.fullmatch(text):
        return text
    more = len(text) - LONGEST
    shown, marks = [], 0
    for char in text[:LONGEST].replace("\r\n", "\n"):
        if char.isascii() and (char.isprintable() or char == "\n"):
            shown.append(char)
            marks = 0
            continue
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= MARKS:
            shown.append(_safe(char))
    return "".join(shown) + (f"… (+{more} characters)" if more > 0 else "")


def is_plain(line: bytes) -> bool:
    """Returns True if every string in a line of JSON is certainly safe, without a check of each one.

    Works because JSON writes control characters, except DEL, as escapes with a backslash.
    """
    return len(line) <= LONGEST and line.isascii() and b"\\" not in line and b"\x7f" not in line


def one_line(text: str) -> str:
    """Returns cleaned text on one line: newlines become ⏎."""
    return text.replace("\n", " ⏎ ") if "\n" in text else text


def clean_event(value: Any) -> Any:
    """Returns the same event or plain value with every string in it cleaned, including mapping keys."""
    kind = type(value)
    if kind in NUMBERS:
        return value
    if kind is str:
        return sys.intern(value) if (safe := clean(value)) is value and len(value) < 80 else safe
    if kind is tuple or kind is list:
        return tuple([clean_event(item) for item in value])
    if kind is dict:
        return {clean_event(key): clean_event(item) for key, item in value.items()}
    return kind(*[clean_event(getattr(value, name)) for name in value.__struct_fields__])  # an event or a part of one


def _safe(char: str) -> str:
    code, category = ord(char), unicodedata.category(char)
    if char == "\t":
        return TAB
    if char in NEWLINES:
        return NEWLINES[char]
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if char in DROPPED or 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE0FFF:
        return ""
    if category in ("Cc", "Cs", "Cf"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    if category in ("Co", "Cn"):
        return "�"
    return " " if category == "Zs" else char
