"""Prints to stderr what a program prepares, for the person who started it."""

import sys

from engine.contract.journal.events import Event, Preparing, Record
from engine.runtime.recorder import Recorder


def tell(message: object) -> None:
    """Prints a line to stderr, at once."""
    print(message, file=sys.stderr, flush=True)


class TellingRecorder(Recorder):
    """A recorder that also prints Preparing events to stderr."""

    def say(self, event: Event, *, durable: bool = False) -> Record:
        if isinstance(event, Preparing):
            tell(event.message)
        return super().say(event, durable=durable)
