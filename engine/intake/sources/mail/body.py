"""Splits the text of a mail into what its author wrote, and quotations, forwarded mails and the signature.

The rules look at the form and not at the language, except for the marks of forwarded mails and of telephones. Each line
is looked at once: the libraries for this backtrack on long texts, read a list as a signature, or know English alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.intake.sources.items import Reason

QUOTED = re.compile(r"\s{0,3}[>»|]")
HEADER = re.compile(r"\s*\*?[^\W\d_][\w \-]{1,20}\s?\*?:\*?\s+\S.*")
RULE = re.compile(r"\s*[-_=*]{3,}[^-_=*\n]{0,60}[-_=*]{3,}\s*|\s*_{10,}\s*")
FORWARDED = re.compile(
    r"forwarded|weitergeleitete|transféré|reenviado|inoltrato|doorgestuurd|encaminhada|przekazan|пересланн|"
    r"iletilen|vidarebefordrat|videresendt|välitetty|転送|전달|转发",
    re.I,
)
DEVICE = re.compile(
    r"\b(?:iphone|ipad|android|samsung|galaxy|huawei|xiaomi|outlook|smartphone|handy|telefon\w*|mobile?|mobiltelefon|"
    r"blackberry|proton ?mail|yahoo|gmx|thunderbird|web\.de|spark|bluemail)\b",
    re.I,
)
ADDRESS = re.compile(r"@|\d{1,2}[.:/h]\d{2}|\d{4}")
ENDS = re.compile(r"[:：]\s*$")


@dataclass(frozen=True, slots=True)
class Part:
    """A run of lines; `reason` is None for those that the author wrote."""

    reason: Reason | None
    text: str


def parts_of(text: str) -> list[Part]:
    """Returns the parts of a mail, in their order; joined, they are all of its lines that are not blank."""
    lines = text.replace("\r\n", "\n").replace("\xa0", " ").split("\n")
    return [Part(reason, said) for reason, run in _runs(lines) if (said := "\n".join(run).strip())]


def _runs(lines: list[str]) -> Iterator[tuple[Reason | None, list[str]]]:
    kinds = _kinds(lines)
    start = 0
    for at in range(1, len(lines) + 1):
        if at == len(lines) or kinds[at] != kinds[start]:
            yield kinds[start], lines[start:at]
            start = at


def _kinds(lines: list[str]) -> list[Reason | None]:
    """Returns for each line what it is."""
    kinds: list[Reason | None] = [None] * len(lines)
    for at, line in enumerate(lines):
        if QUOTED.match(line):
            kinds[at] = "quoted"
    for at in range(len(lines)):
        if kinds[at] == "quoted" and (at == 0 or kinds[at - 1] != "quoted"):
            _mark_introduction(lines, kinds, at)
    for at, line in enumerate(lines):  # a mail below, without marks at its lines
        if kinds[at] is None and (reason := _below(lines, at)):
            kinds[at:] = [reason] * (len(lines) - at)
            break
        if kinds[at] is None and line.rstrip("\r") in ("-- ", "--"):
            _mark_signature(lines, kinds, at)
    _mark_device(lines, kinds)
    for at in range(1, len(lines)):  # a blank line belongs to what stands above it
        if not lines[at].strip():
            kinds[at] = kinds[at - 1]
    return kinds


def _mark_introduction(lines: list[str], kinds: list[Reason | None], at: int) -> None:
    """Marks the one or two lines that introduce a quotation: they end with a colon and name an address or a date."""
    above = at - 1
    while above >= 0 and not lines[above].strip() and at - above < 3:
        above -= 1
    if above < 0 or kinds[above] is not None or not ENDS.search(lines[above]):
        return
    begin = above
    while begin > 0 and above - begin < 2 and lines[begin - 1].strip() and kinds[begin - 1] is None:
        if (
            ADDRESS.search(lines[begin])
            and not lines[begin][:1].islower()
            and not lines[begin].lstrip().startswith("<")
        ):
            break
        begin -= 1
    if ADDRESS.search("".join(lines[begin : above + 1])):
        kinds[begin:at] = ["quoted"] * (at - begin)


def _below(lines: list[str], at: int) -> Reason | None:
    """Returns what begins at a line: a mail below with its header, or a rule and then such a header."""
    line = lines[at]
    if RULE.fullmatch(line):
        following = next((i for i in range(at + 1, min(at + 4, len(lines))) if lines[i].strip()), None)
        if following is not None and _is_header(lines, following):
            return "forwarded" if FORWARDED.search(line) else "quoted"
    elif FORWARDED.search(line) and ENDS.search(line) and at + 1 < len(lines) and len(line) < 80:
        following = next((i for i in range(at + 1, min(at + 4, len(lines))) if lines[i].strip()), None)
        return "forwarded" if following is not None and _is_header(lines, following) else None
    elif HEADER.fullmatch(line[:300]) and _is_header(lines, at):
        return "quoted"
    return None


def _is_header(lines: list[str], at: int) -> bool:
    """Whether three lines in a row are `Word: text`, and one of them names an address or a date."""
    run = []
    for line in lines[at : at + 6]:
        if not HEADER.fullmatch(line[:300]):
            break
        run.append(line)
    return len(run) >= 3 and sum(bool(ADDRESS.search(line)) for line in run) >= 2


def _mark_signature(lines: list[str], kinds: list[Reason | None], at: int) -> None:
    """Marks the signature, up to the next quotation or mail below."""
    end = at
    while end < len(lines) and kinds[end] is None and not (end > at and _below(lines, end)):
        kinds[end] = "signature"
        end += 1


def _mark_device(lines: list[str], kinds: list[Reason | None]) -> None:
    """Marks a last line such as `Sent from my iPhone`."""
    own = [at for at, line in enumerate(lines) if kinds[at] is None and line.strip()]
    if len(own) < 2:
        return
    last = lines[own[-1]].strip()
    alone = own[-1] - own[-2] > 1
    if alone and len(last.split()) <= 9 and DEVICE.search(last) and not last.endswith(("?", "!")):
        kinds[own[-1]] = "signature"
