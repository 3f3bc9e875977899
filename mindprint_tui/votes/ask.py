"""Asks a person in the terminal which of two answers is better, one key for each vote."""

import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast, get_args

from engine.contract.run_folder.folder import RunDir
from mindprint_tui.journal.sanitize import clean
from mindprint_tui.view.text import shorten, wrap
from mindprint_tui.votes.agreement import tally
from mindprint_tui.votes.ballots import Ballot, Ballots
from mindprint_tui.votes.vote_file import Choice, Vote, Votes, append, undo

KEYS = "1, 2: the better answer   =: alike   0: neither   u: undo   q: leave"
WIDEST = 100  # cells of a line of text
ESCAPE = b"\x1b"
REST = 0.05  # seconds in which the rest of an arrow key's bytes arrives


def ask(run: RunDir, ballots: Ballots, votes: Votes, seed: int) -> None:
    """Asks about each pair without a standing vote, and writes each vote at once, until a person leaves.

    The names of stages and runs are not shown. `votes` is kept up to date. Raises Unwritable.
    """
    pairs = [ballot.pair for ballot in ballots.pairs]
    with single_keys() as keys:
        while True:
            ballot = next((ballot for ballot in ballots.pairs if ballot.pair not in votes.standing), None)
            _show(ballot, ballots, votes)
            while not _obey(key := next(keys, "q"), run, ballot, votes, pairs, seed):
                if key == "q":
                    return
                print(KEYS, flush=True)


def _obey(key: str, run: RunDir, ballot: Ballot | None, votes: Votes, pairs: list[str], seed: int) -> bool:
    """Writes what a key asks for; False if it asks for nothing that can be done."""
    if key == "u":
        if (last := votes.last(pairs)) is None:
            print("there is no vote to take back", flush=True)
            return False
        taken = undo(last.pair)
        append(run, taken)
        votes.take(taken)
        print("u: the last vote is taken back", flush=True)
        return True
    if ballot is None or key not in get_args(Choice):
        return False
    line = Vote(choice=cast(Choice, key), t=round(time.time(), 3), seed=seed, **ballot._asdict())
    append(run, line)
    votes.take(line)
    print(key, flush=True)
    return True


def _show(ballot: Ballot | None, ballots: Ballots, votes: Votes) -> None:
    """Prints the next pair, the keys, and how often the votes so far agree with the score."""
    cells = min(WIDEST, shutil.get_terminal_size().columns - 1)
    done = sum(pair.pair in votes.standing for pair in ballots.pairs)
    if ballot is None:
        lines = [f"All {len(ballots.pairs):,} pairs have a vote. u takes the last one back, q leaves."]
    else:
        title = clean(ballots.titles.get(clean(ballot.topic), ballot.topic))
        lines = [shorten(f"── {done + 1:,} of {len(ballots.pairs):,} · {title} ".ljust(cells, "─"), cells)]
        lines += [*wrap(clean(ballot.question), cells), ""]
        for number, side in (("1", ballot.first), ("2", ballot.second)):
            lines += [*wrap(f"{number}  {clean(side.answer).strip() or '(empty)'}", cells, "   "), ""]
        lines.append(KEYS)
    lines.append(f"agrees with the score: {tally(votes.standing.values()).agreement}")
    print("\n" + "\n".join(lines), flush=True)


@contextmanager
def single_keys() -> Iterator[Iterator[str]]:
    """Yields the keys typed on this terminal, each without a return; Ctrl-D ends them.

    At the end the terminal is as it was. A shell that suspended the program may have changed it, so it is set again.
    """
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def resume(*_: object) -> None:
        tty.setcbreak(terminal, termios.TCSADRAIN)

    resume()
    continued = signal.signal(signal.SIGCONT, resume)
    try:
        yield _typed(terminal)
    finally:
        signal.signal(signal.SIGCONT, continued)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _typed(terminal: int) -> Iterator[str]:
    """Yields single characters. The bytes of a function key, which may be digits, are one unknown key together."""
    while True:
        try:
            data = os.read(terminal, 1)
        except OSError:  # the connection is lost
            return
        if data in (b"", b"\x04"):
            return
        while data.startswith(ESCAPE) and select.select([terminal], [], [], REST)[0]:
            if not os.read(terminal, 64):
                return
        yield data.decode("ascii", "replace")
