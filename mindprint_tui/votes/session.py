"""The `mindprint-tui vote` command: asks for votes, sums them up, and writes them as rows."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.contract.run_folder.folder import RunDir
from engine.contract.wording import several, unreadable_lines
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.votes.agreement import tally
from mindprint_tui.votes.ask import ask
from mindprint_tui.votes.ballots import Place, read_ballots
from mindprint_tui.votes.preference_rows import rows_of, write
from mindprint_tui.votes.vote_file import Votes, read_votes


def vote(runs: Sequence[RunDir], stages: tuple[Place, Place] | None, seed: int) -> None:
    """Asks about the pairs of one run or two that have no vote yet. The votes are those of the first run.

    Raises InputError if there is nothing to vote on or a file cannot be read, and Unwritable.
    """
    votes = _votes(runs[0])
    ballots = read_ballots(runs, stages, seed)
    _say(unreadable_lines(ballots.damaged) if ballots.damaged else "")
    _say(f"{several(ballots.same, 'question')} with the same answer twice left out" if ballots.same else "")
    with suppress(KeyboardInterrupt):  # Ctrl-C leaves, as q does: each vote is on the disk already
        ask(runs[0], ballots, votes, seed)
    found = tally(votes.standing.values())
    print(f"\n{found.counts}\nagrees with the score: {found.agreement}")
    for text in found.by_stage:
        print(f"preferred: {one_line(clean(text))}")


def export(run: RunDir, target: Path, train: bool) -> None:
    """Writes the decided votes of a run as rows, and says how many; raises InputError."""
    found = rows_of(run, _votes(run).standing.values(), train)
    write(run, found, target)
    for text in found.said(target, train):
        print(one_line(clean(text)))


def _votes(run: RunDir) -> Votes:
    votes = read_votes(run)
    _say(votes.damage)
    return votes


def _say(text: str) -> None:
    if text:
        print(text, file=sys.stderr, flush=True)
