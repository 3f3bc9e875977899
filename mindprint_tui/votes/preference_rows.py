"""Writes the decided votes of a run as preference rows for a next run."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError
from engine.contract.regular_file import STATE, read_bytes
from engine.contract.run_folder.files import replace_own
from engine.contract.run_folder.folder import RunDir, require_free
from engine.contract.vocabulary import COPY
from engine.contract.wording import several
from mindprint_tui.votes.vote_file import Vote

EMPTY = "one of its answers is empty"


@dataclass(frozen=True, slots=True)
class Rows:
    """The preference rows of votes, and how many decided votes gave none, by reason."""

    rows: tuple[dict[str, Any], ...]
    left_out: dict[str, int]

    def said(self, target: Path, train: bool) -> list[str]:
        """Sentences about what was written, and what was not."""
        count = several(len(self.rows), "row")
        use = (
            "they train; a run that still asks these questions refuses them"
            if train
            else "they measure and do not train (heldout: true), since the run asks these questions to be scored"
        )
        lines = [f"{target}: {count}; {use}"]
        return lines + [f"left out: {several(number, 'vote')}: {why}" for why, number in self.left_out.items()]


def rows_of(run: RunDir, votes: Iterable[Vote], train: bool) -> Rows:
    """Returns a row for each decided vote.

    All questions of a run are held out. So a row is marked `heldout`, unless `train` is set. The texts are messages,
    since plain text may be read as a conversation. No void answer is to be trained on. A copy of a training row is not
    measured either: the next run would refuse it, as held out and trained on.
    """
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for vote in votes:
        if (sides := vote.sides) is None:
            continue
        chosen, rejected = sides
        if why := _unfit(vote, train):
            left_out[why] += 1
            continue
        row = {
            "topic": vote.topic,
            "prompt": _message("user", vote.question),
            "chosen": _message("assistant", chosen.answer),
            "rejected": _message("assistant", rejected.answer),
            "source": f"{_mark(run)}{vote.pair}",
        }
        rows.append(row if train else row | {"heldout": True})
    return Rows(tuple(rows), dict(left_out))


def _unfit(vote: Vote, train: bool) -> str:
    """Returns the reason why a decided vote makes no row; empty if it makes one."""
    chosen, rejected = vote.sides or (vote.first, vote.second)
    if not (vote.question.strip() and chosen.answer.strip() and rejected.answer.strip()):
        return EMPTY
    if chosen.void and (train or chosen.void == COPY):
        return f"the preferred answer is void: {chosen.void.partition(':')[0]}"
    return ""


def _message(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def _mark(run: RunDir) -> str:
    """Returns the beginning of the field `source` of this run's rows."""
    return f"vote {run.name} "


def require_replaceable(run: RunDir, target: Path) -> None:
    """Raises InputError unless `target` is free or has only rows that were written from this run's votes."""
    require_free(target)
    try:
        lines = read_bytes(target, STATE).splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{target}: the rows cannot be written ({error.strerror or error})") from error
    if target.is_symlink() or not all(_is_mine(run, line) for line in lines):
        raise InputError(
            f"{target}: it exists and has other rows than the votes of {run.name}; name a file that does not exist"
        )


def _is_mine(run: RunDir, line: bytes) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    source = row.get("source") if isinstance(row, dict) else None
    return isinstance(source, str) and source.startswith(_mark(run))


def write(run: RunDir, found: Rows, target: Path) -> None:
    """Writes the rows as JSON lines in one step; raises InputError if that fails or another file is there."""
    require_replaceable(run, target)
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found.rows)
    try:
        replace_own(target, data.encode())
    except OSError as error:
        raise InputError(f"{target}: the rows cannot be written ({error.strerror or error})") from error
