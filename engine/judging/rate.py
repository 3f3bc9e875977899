"""Rates a run: first the controls, then its answers; each mark is written at once, and those that are there stay."""

import errno
import fcntl
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from engine.contract.errors import InputError, Unwritable
from engine.contract.intervals import mean_estimate, share_spread
from engine.contract.journal.codec import with_sum
from engine.contract.journal.judge_file import (
    ASPECTS,
    Aspect,
    Controls,
    Judge,
    Judgement,
    Line,
    Mark,
    Mean,
    Rated,
    read_judgement,
)
from engine.contract.journal.store import whole_lines
from engine.contract.run_folder.files import flush_to_disk, open_own
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import only_writer
from engine.contract.settings.judge import JudgeConfig, address_of
from engine.contract.wording import several
from engine.judging.answers import Rateable
from engine.judging.controls import Sides, measured
from engine.judging.endpoint import NoReply
from engine.judging.rubric import HIGHEST, VERSION, Item, NoMark, read_mark

IN_A_ROW = 3  # texts without a reply after which an endpoint counts as gone
MUTE = 10  # texts without a mark from the very first on, after which a judge counts as unfit
EVERY = 20.0  # seconds between two lines about the progress


class Replies(Protocol):
    """A model that replies to a prompt."""

    def reply(self, prompt: str) -> str: ...


class Bench:
    """The judge at work on one run: it appends to judge.jsonl, and no second judge can at the same time."""

    def __init__(self, run: RunDir, config: JudgeConfig, say: Callable[[str], None]) -> None:
        """Raises InputError if another judge rates this run, or if the file cannot be written."""
        self._run, self._say = run, say
        try:
            self._descriptor = open_own(run.judge, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise InputError(str(Unwritable(run.judge, error))) from error
        if not only_writer(self._descriptor):
            os.close(self._descriptor)
            raise InputError(f"{run.path}: another judge is rating this run")
        self._known: Judgement = read_judgement(run)
        where = address_of(config, "evaluation.judge").shown if config.endpoint else ""
        self._id = hashlib.sha256(repr((config.model, where, config.max_tokens, VERSION)).encode()).hexdigest()[:16]
        self._first = Judge(self._id, config.model, where, _now())
        self._told = time.monotonic()
        heard = any(mark.mark is not None for (judge, _), mark in self._known.marks.items() if judge == self._id)
        self._begun, self._silent, self._mute = False, 0, -1 if heard else 0

    def close(self) -> None:
        """Flushes the file to the disk and gives the run free."""
        flush_to_disk(self._descriptor)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def rate(self, model: Replies, controls: Sequence[Sides], answers: Sequence[Rateable]) -> Controls:
        """Rates everything that has no mark yet, and returns the result of the controls."""
        self._ask(model, "controls", [item for sides in controls for item in (*sides.good, *sides.bad)])
        self._begin()
        result = Controls(self._id, _now(), tuple(measured(sides, self._value) for sides in controls))
        self._write(result)
        items = [item for answer in answers for item in _items(answer)]
        self._ask(
            model, "answers", sorted(items, key=lambda item: item.aspect)
        )  # a model here reads like beginnings once
        ratings = [self._value(item) for item in items]
        means = {stage: self._means([a for a in answers if a.stage == stage]) for stage in _stages(answers)}
        self._write(Rated(self._id, _now(), whole_lines(self._run.journal), len(answers), ratings.count(None), means))
        return result

    def _ask(self, model: Replies, what: str, items: Sequence[Item]) -> None:
        wanted = {item.key: item for item in items if self._value(item) is None}
        for number, item in enumerate(wanted.values()):
            if time.monotonic() - self._told > EVERY:
                self._told = time.monotonic()
                self._say(f"the judge rates the {what}: {number} of {several(len(wanted), 'text')}")
            mark, problem = None, ""
            try:
                mark = read_mark(model.reply(item.prompt))
                self._begin()
                self._silent, self._mute = 0, -1  # a judge that has given a mark is not mute
            except NoMark as error:
                problem = str(error)
                self._silent = self._silent + 1 if isinstance(error, NoReply) else 0
                self._mute += self._mute >= 0
            self._write(Mark(self._id, item.key, item.aspect, mark, _now(), problem))
            self._require_replies(problem)

    def _begin(self) -> None:
        """Writes that this judge begins: not before it has given a mark, so that an earlier judge's results stay."""
        if not self._begun:
            self._begun = True
            self._write(self._first)

    def _require_replies(self, problem: str) -> None:
        """Raises InputError if it is no use to ask on."""
        if self._silent >= IN_A_ROW:
            raise InputError(f"the judge did not reply {self._silent} times in a row: {problem}; what it said is kept")
        if self._mute >= MUTE:
            raise InputError(f"the judge gave no mark for any of {self._mute} texts: {problem}")

    def _value(self, item: Item) -> int | None:
        found = self._known.marks.get((self._id, item.key))
        return found.mark if found else None

    def _means(self, answers: Sequence[Rateable]) -> dict[Aspect, Mean]:
        """Returns the means of a stage; the spread is pooled over its topics."""
        found: dict[Aspect, Mean] = {}
        for aspect in ASPECTS:
            groups: dict[str, list[float]] = {}
            for answer in answers:
                if (value := self._value(Item(aspect, answer.question, answer.answer))) is not None:
                    groups.setdefault(answer.topic, []).append(value / HIGHEST)
            if groups:
                values = [value for group in groups.values() for value in group]
                mean = mean_estimate(values, share_spread(list(groups.values())))
                ends = (None, None) if math.isnan(mean.low) else (max(0.0, mean.low), min(1.0, mean.high))
                low, high = (None if end is None else HIGHEST * end for end in ends)
                found[aspect] = (HIGHEST * mean.mean, low, high, mean.n)
        return found

    def _write(self, line: Line) -> None:
        """Appends a line in one write; raises Unwritable with the file as it was."""
        try:
            size = os.fstat(self._descriptor).st_size
            torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
            data = b"\n" * torn + with_sum(msgspec.json.encode(line)) + b"\n"
            if os.write(self._descriptor, data) != len(data):
                os.ftruncate(self._descriptor, size)
                raise OSError(errno.ENOSPC, "no space left for the line")
        except OSError as error:
            raise Unwritable(self._run.judge, error) from error
        self._known.take(line)


def _items(answer: Rateable) -> Iterable[Item]:
    return [Item(aspect, answer.question, answer.answer) for aspect in ASPECTS]


def _stages(answers: Sequence[Rateable]) -> list[str]:
    return list(dict.fromkeys(answer.stage for answer in answers))


def _now() -> float:
    return round(time.time(), 3)
