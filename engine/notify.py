"""`python -m engine.notify RUN_DIR OFFSET PIPE`: tells a person what happens in a run, while its supervisor lives.

It reads the journal from byte OFFSET on, and ends with the supervisor, which holds the other end of PIPE. It is a
process of its own, so a service that does not answer delays no training.
"""

import os
import select
import shutil
import sys
import time
from pathlib import Path

import msgspec

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT
from engine.contract.journal.codec import decode
from engine.contract.journal.events import Unknown
from engine.contract.journal.occasions import Occasion, Occasions
from engine.contract.journal.store import Tail
from engine.contract.run_folder.files import append_line
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from engine.contract.settings.notify import effective
from engine.notifying.channels import Message, channels
from engine.notifying.outbox import Outbox

TICK = 1.0  # seconds between two looks at the journal
LOW, ENOUGH = 2 << 30, 3 << 30  # bytes of disk space: below LOW a person is told, and again from ENOUGH on
LOOK = 30.0  # seconds between two looks at the disk


class Teller:
    """Follows one run and hands its occasions to the outbox."""

    def __init__(self, run: RunDir, offset: int, wanted: frozenset[str], outbox: Outbox) -> None:
        self._run, self._wanted, self._outbox = run, wanted, outbox
        self._tail = Tail(run.journal, offset)
        self._occasions = Occasions()
        self._low, self._looked = False, -LOOK

    def look(self) -> None:
        """Tells what the journal has said since the last look, and whether the disk is nearly full."""
        while lines := self._tail.lines():
            for line in lines:
                event = decode(line).event
                self._tell(None if isinstance(event, Unknown) else self._occasions.take(event))
        if (now := time.monotonic()) - self._looked >= LOOK:
            self._looked = now
            self._tell(self._disk(shutil.disk_usage(self._run.path).free))
        self._outbox.flush()

    def _disk(self, free: int) -> Occasion | None:
        if self._low != (free < (ENOUGH if self._low else LOW)):
            self._low = not self._low
            text = f"{free / (1 << 30):.1f} GB left on the disk of the run"
            return Occasion("disk", text if self._low else f"{text}: enough again", over=not self._low)
        return None

    def _tell(self, occasion: Occasion | None) -> None:
        if occasion is not None and occasion.kind in self._wanted:
            self._outbox.add(occasion)


def main() -> int:
    """Returns 0, or 2 if the settings cannot be read."""
    run, offset, pipe = RunDir(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])

    def note(message: Message, channel: str, error: str) -> None:
        line = {"t": round(time.time(), 3), "channel": channel, **message._asdict(), "told": not error, "error": error}
        append_line(run.notified, msgspec.json.encode(line))

    try:
        config = effective(load_config(run.config).run.notify)
    except InputError as error:
        print(f"nothing is told of this run: {error}", file=sys.stderr)
        return BAD_INPUT
    outbox = Outbox(run.name, channels(config), note)
    teller = Teller(run, offset, frozenset(config.tell), outbox)
    try:
        while not select.select([pipe], [], [], TICK)[0]:
            teller.look()
        teller.look()
        outbox.close()
    except FileNotFoundError:
        return 0  # the run's folder was deleted
    return 0


if __name__ == "__main__":
    os._exit(main())  # a thread that still waits for a slow service must not hold the end up
