"""Encodes an event as a line of the journal, and decodes it.

Encoding loses nothing, and decoding never raises. msgspec reads each line first. If it refuses a line (a loss of "nan",
half a surrogate pair, damage), the slower `_decode_text` reads it and says what is wrong.

The last field of a line is its check sum: the XXH3 hash of the bytes before that field, 64 bits as 16 hexadecimal
digits. A line with a wrong check sum is unreadable. A line without one is accepted: older engines wrote none.
"""

import json
import math
import typing
from typing import Annotated, Any

import msgspec
from xxhash import xxh3_64_hexdigest

from engine.contract.journal.events import KINDS, Record, Unknown

VERSION = 1
DIGITS = 18  # most digits of a whole number in a journal, so that a reader's arithmetic stays within bounds
LONGEST_LINE = 64 << 20  # most bytes of a line
LONGEST = 200  # most characters of the problem in an Unknown
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # how a line spells the numbers that JSON lacks
AS_ZEROS = bytes(48 if 48 <= code < 58 else 32 for code in range(256))  # translates each digit to 0, the rest to blanks
TOO_LONG = b"0" * (DIGITS + 1)
SUM = b', "xxh3": "%s"}'  # the end of a line
SUM_HEAD, SUM_SIZE = SUM[:-4], len(SUM % b"") + 16
Time = Annotated[float, msgspec.Meta(gt=-1e15, lt=1e15)]


class LineHead(msgspec.Struct, frozen=True, gc=False):
    """The fields at the start of every line."""

    seq: int
    t: Time
    kind: str


class LinePreview(msgspec.Struct, frozen=True, gc=False):
    """The head of a line and, for a finite step, the values of a loss curve; three times as fast as `decode`."""

    seq: Annotated[int, msgspec.Meta(ge=0, lt=10**DIGITS)]
    t: Time
    kind: str
    topic: str = ""
    phase: str = ""
    step: Annotated[int, msgspec.Meta(ge=0, lt=10**9)] = 0
    loss: float = math.nan


_head = msgspec.json.Decoder(LineHead).decode
_glance = msgspec.json.Decoder(LinePreview).decode
_events: dict[str, Any] = {kind: msgspec.json.Decoder(cls).decode for kind, cls in KINDS.items()}
_fields = {  # of each kind, with their types
    kind: {name: hint for name, hint in typing.get_type_hints(cls).items() if name != "kind"}
    for kind, cls in KINDS.items()
}


def encode(record: Record) -> bytes:
    """Returns one UTF-8 line with its newline. Numbers that JSON lacks (NaN, infinity) are written as text."""
    head = {"v": VERSION, "seq": record.seq, "t": round(record.t, 3), "kind": record.event.kind}
    data = _finite(head | {name: getattr(record.event, name) for name in record.event.__struct_fields__})
    try:
        line = msgspec.json.format(msgspec.json.encode(data), indent=0)
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair, or a number of more than 64 bits
        line = json.dumps(msgspec.to_builtins(data)).encode()
    return with_sum(line) + b"\n"


def with_sum(line: bytes) -> bytes:
    """Returns a line with its check sum added as the last field."""
    return line[:-1] + SUM % xxh3_64_hexdigest(line[:-1]).encode()


def sum_is_wrong(line: bytes) -> bool:
    """Tells whether a line ends with a check sum, but not with that of its bytes."""
    return line[-18:-2] != xxh3_64_hexdigest(line[:-SUM_SIZE]).encode() and line[-SUM_SIZE:-18] == SUM_HEAD


def decode(line: bytes | str, before: float = 0.0) -> Record:
    """Reads one line and never raises: an unreadable line becomes Unknown, with seq -1 if it has none.

    `before` is the time of the previous line in unix seconds, used if this line has no time.
    """
    data = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
    if len(data) > LONGEST_LINE:
        return Record(-1, before, Unknown("", f"a line of more than {LONGEST_LINE >> 20} MB", damaged=True))
    if sum_is_wrong(data):
        return Record(-1, before, Unknown("", "its check sum is wrong", damaged=True))
    if TOO_LONG not in data.translate(AS_ZEROS):
        try:
            head = _head(data)
            return Record(head.seq, head.t, _events[head.kind](data))
        except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
            pass
    return _decode_text(data, before)


def preview(line: bytes) -> LinePreview | None:
    """Returns the start of a well-formed JSON line; None if the line needs `decode`."""
    try:
        return None if sum_is_wrong(line) else _glance(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _decode_text(line: bytes, before: float) -> Record:
    """Reads lines that msgspec refuses: numbers written as text, invalid text, damage. Slower."""
    try:
        data = json.loads(line, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        return Record(-1, before, Unknown("", _short(f"not JSON: {error}"), damaged=True))
    if not isinstance(data, dict):
        return Record(-1, before, Unknown("", "not an object", damaged=True))
    seq, t, kind = data.get("seq"), data.get("t"), data.get("kind")
    seq = seq if isinstance(seq, int) and not isinstance(seq, bool) else -1
    t = float(t) if isinstance(t, int | float) and not isinstance(t, bool) and abs(t) < 1e15 else before
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        name = kind[:80] if isinstance(kind, str) else ""
        foreign = bool(name) and seq >= 0
        return Record(seq, t, Unknown(name, "a kind that this reader does not know", damaged=not foreign))
    known = {name: _number(data[name], hint) for name, hint in _fields[cls.kind].items() if name in data}
    try:
        return Record(seq, t, msgspec.convert(known, cls))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: half a surrogate pair
        return Record(seq, t, Unknown(cls.kind, _short(str(error)), damaged=True))


def _number(value: Any, hint: Any) -> Any:
    """Returns the value with each number that was written as text turned back into a number, by its type `hint`."""
    parts = typing.get_args(hint)
    if isinstance(value, dict) and typing.get_origin(hint) is dict:
        return {key: _number(item, parts[1]) for key, item in value.items()}
    if isinstance(value, list) and parts and typing.get_origin(hint) is tuple:
        hints = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return [_number(*pair) for pair in zip(value, hints, strict=True)] if len(value) == len(hints) else value
    return NOT_FINITE.get(value, value) if isinstance(value, str) and (hint is float or float in parts) else value


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) > DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _short(problem: str) -> str:
    return problem if len(problem) <= LONGEST else problem[: LONGEST - 1] + "…"


def _finite(value: Any) -> Any:
    """Returns the same value with "nan", "inf" and "-inf" for the numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
