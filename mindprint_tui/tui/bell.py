"""Rings the terminal's bell and shows a notification (OSC 9) if something happens that a person wants to know."""

import os
from collections.abc import Iterable

from engine.contract.errors import InputError
from engine.contract.journal.events import Record
from engine.contract.journal.occasions import Occasions
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from engine.contract.settings.notify import effective
from mindprint_tui.journal.sanitize import clean, one_line
from mindprint_tui.journal.step_batch import Stretch

MINUTE = 60.0  # seconds between two notifications of one kind
LONGEST = 200  # characters of a notification


class Bell:
    """The bell of one run. Without settings that can be read, it is silent."""

    def __init__(self, run: RunDir) -> None:
        self._run = run.name
        self._occasions = Occasions()
        self._last: dict[str, float] = {}
        try:
            config = effective(load_config(run.config).run.notify)
        except InputError:
            self._wanted: frozenset[str] = frozenset()
        else:
            self._wanted = frozenset(config.tell if config.terminal else ())

    def ring(self, records: Iterable[Record | Stretch], now: float) -> str:
        """Returns what to send to the terminal for new records: nothing, or the bell and a notification for each."""
        sent = ""
        for record in records:
            found = self._occasions.take(record.event) if isinstance(record, Record) else None
            if found is None or found.kind not in self._wanted or now - self._last.get(found.kind, -MINUTE) < MINUTE:
                continue
            self._last[found.kind] = now
            sent += "\a" + passed_through(
                f"\x1b]9;{one_line(clean(f'mindprint {self._run}: {found.text}'))[:LONGEST]}\a"
            )
        return sent


def passed_through(sequence: str) -> str:
    """Returns a sequence as tmux hands it on to the terminal around it (if its option allow-passthrough is on)."""
    if "TMUX" not in os.environ:
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
