"""What a judge said about a run, in judge.jsonl of its folder: each mark, its controls and its means, one a line."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from engine.contract.errors import InputError
from engine.contract.journal.codec import sum_is_wrong
from engine.contract.regular_file import STATE, read_bytes
from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import several

Aspect: TypeAlias = Literal["sense", "content", "likeness"]
ASPECTS: tuple[Aspect, ...] = ("sense", "content")  # of an answer; likeness is asked in a control alone
Mean: TypeAlias = tuple[float, float | None, float | None, int]  # mean, ends of its 90 % interval, number of marks
Share = Annotated[float, Meta(ge=0, le=1)]


class Judge(Struct, frozen=True, tag_field="kind", tag="judge"):
    """A judge begins or goes on; `id` is a digest of the model, the place and the rubric."""

    id: str
    model: str
    endpoint: str  # the address; empty if the model was loaded here
    t: float  # unix seconds


class Mark(Struct, frozen=True, tag_field="kind", tag="mark"):
    """One rating; `mark` is None if the judge gave none, and `problem` then says why."""

    judge: str
    item: str
    aspect: Aspect
    mark: Annotated[int, Meta(ge=0, le=4)] | None
    t: float
    problem: str = ""


class Control(Struct, frozen=True):
    """How well marks tell texts that deserve high ones from texts that do not: the AUC with its 90 % interval.

    `good` and `bad` count the marks of each side, `unmarked` the ratings without a mark. The AUC is None if a side has
    no mark. `fault` says why the control does not hold; it is empty if it holds, or could not be tried.
    """

    name: str
    auc: Share | None
    low: Share | None
    high: Share | None
    good: int
    bad: int
    unmarked: int
    fault: str


class Controls(Struct, frozen=True, tag_field="kind", tag="controls"):
    """The controls of a judge: its marks are reliable if none of them has a fault."""

    judge: str
    t: float
    found: tuple[Control, ...]

    @property
    def reliable(self) -> bool:
        return not self.faults

    @property
    def faults(self) -> list[str]:
        return [f"{control.name}: {control.fault}" for control in self.found if control.fault]


class Rated(Struct, frozen=True, tag_field="kind", tag="rated"):
    """Every answer was rated: the means by stage and aspect. `journal` is how many bytes the run's journal had then."""

    judge: str
    t: float
    journal: int
    answers: int
    unmarked: int  # ratings without a mark
    means: dict[str, dict[Aspect, Mean]]


Line: TypeAlias = Judge | Mark | Controls | Rated
_decode = msgspec.json.Decoder(Line).decode


@dataclass(slots=True)
class Judgement:
    """What the latest judge of a run said; `damaged` counts lines that cannot be read."""

    judge: Judge | None = None
    controls: Controls | None = None
    rated: Rated | None = None
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)  # judge and item -> the latest rating
    damaged: int = 0

    def take(self, line: Line) -> None:
        """Adds a line. A judge that begins or goes on puts the results before it aside."""
        match line:
            case Judge():
                self.judge, self.controls, self.rated = line, None, None
            case Mark():
                self.marks[line.judge, line.item] = line
            case Controls():
                self.controls = line
            case Rated():
                self.rated = line

    def mark(self, aspect: Aspect, question: str, answer: str) -> Mark | None:
        """Returns the latest judge's rating of an answer; None if it has not rated it."""
        return self.marks.get((self.judge.id, item_key(aspect, question, answer))) if self.judge else None

    @property
    def damage(self) -> str:
        """A sentence that counts the lines that cannot be read; empty if there is none."""
        return f"{several(self.damaged, 'line')} of judge.jsonl cannot be read" if self.damaged else ""


def item_key(aspect: Aspect, question: str, answer: str, examples: Sequence[str] = ()) -> str:
    """Returns the name of what is rated.

    It is made of letters and digits alone. So an answer is found by the text that a terminal shows, too.
    """
    texts = ["".join(filter(str.isalnum, text)) for text in (question, answer, *examples)]
    return hashlib.sha256(repr((aspect, *texts)).encode()).hexdigest()[:16]


def read_judgement(run: RunDir) -> Judgement:
    """Returns what judges said about a run; nothing if it has no such file. Raises InputError if it cannot be read."""
    found = Judgement()
    try:
        data = read_bytes(run.judge, STATE)
    except FileNotFoundError:
        return found
    except OSError as error:
        raise InputError(f"{run.judge}: the marks cannot be read ({error.strerror or error})") from error
    for text in data.split(b"\n"):
        if not text.strip():
            continue
        if (line := parse(text)) is None:
            found.damaged += 1
        else:
            found.take(line)
    return found


def went_on(found: Judgement, run: RunDir) -> bool:
    """Tells whether the run's journal has grown since its answers were rated."""
    return found.rated is not None and found.rated.journal < run.journal.stat().st_size


def parse(text: bytes) -> Line | None:
    """Returns what a line says, or None if it is damaged."""
    if sum_is_wrong(text):
        return None
    try:
        found: Line = _decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found
