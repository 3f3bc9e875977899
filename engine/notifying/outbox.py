"""Limits messages to one a minute of each kind; each channel has its own thread, so that none waits for another."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.contract.journal.occasions import KINDS, Kind, Occasion
from engine.notifying.channels import Message, NotTold, Send

MINUTE = 60.0  # seconds between two messages of one kind
WAITING = 200  # messages of one channel that may wait
END = 20.0  # seconds for what still waits when a run has ended
LISTED = 3  # occasions that one message lists


@dataclass(slots=True)
class Held:
    """The occasions of one kind that wait, and when the last message of this kind was sent."""

    last: float = -MINUTE
    texts: list[str] = field(default_factory=list)


class Outbox:
    """Sends messages. `note(message, channel, error)` is called once for each message and channel; error "" is told."""

    def __init__(
        self,
        run: str,
        ways: Mapping[str, Send],
        note: Callable[[Message, str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._note, self._clock = run, note, clock
        self._held: dict[Kind, Held] = {}
        self._lock = threading.Lock()
        self._sending: dict[str, Message] = {}
        self._queues: dict[str, queue.Queue[Message | None]] = {name: queue.Queue(WAITING) for name in ways}
        self._threads = [
            threading.Thread(target=self._deliver, args=(name, send), daemon=True) for name, send in ways.items()
        ]
        for thread in self._threads:
            thread.start()

    def add(self, occasion: Occasion) -> None:
        """Sends an occasion, or holds it until a minute has passed since the last message of its kind."""
        self._held.setdefault(occasion.kind, Held()).texts.append(occasion.text)
        self.flush()

    def flush(self, everything: bool = False) -> None:
        """Sends the occasions whose minute is over, those of one kind in one message."""
        now = self._clock()
        for kind, held in self._held.items():
            if held.texts and (everything or now - held.last >= MINUTE):
                self._send(Message(self._run, kind, joined(kind, held.texts)))
                held.last, held.texts = now, []

    def close(self) -> None:
        """Sends what is held, waits for END seconds, and notes what was not told by then."""
        self.flush(everything=True)
        for waiting in self._queues.values():
            with_room(waiting, None)
        deadline = time.monotonic() + END
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            for name, waiting in self._queues.items():
                for message in (self._sending.get(name), *waiting.queue):
                    if message is not None:
                        self._note(message, name, "the service was too slow: the run had ended")
            self._queues = {}

    def _send(self, message: Message) -> None:
        for name, waiting in self._queues.items():
            if not with_room(waiting, message):
                with self._lock:
                    self._note(message, name, f"{WAITING} messages wait already")

    def _deliver(self, name: str, send: Send) -> None:
        waiting = self._queues[name]
        while (message := waiting.get()) is not None:
            with self._lock:
                self._sending[name] = message
            try:
                send(message)
            except NotTold as error:
                self._report(message, name, str(error))
            else:
                self._report(message, name, "")

    def _report(self, message: Message, name: str, error: str) -> None:
        with self._lock:
            self._sending.pop(name, None)
            if name in self._queues:
                self._note(message, name, error)


def joined(kind: Kind, texts: list[str]) -> str:
    """Returns one text for the occasions of one kind."""
    if len(texts) <= LISTED:
        return "; ".join(texts)
    return f"{len(texts)} {KINDS[kind]}, the last: {'; '.join(texts[-LISTED:])}"


def with_room(waiting: "queue.Queue[Message | None]", message: Message | None) -> bool:
    """Puts a message into a queue, and returns False if it is full."""
    try:
        waiting.put_nowait(message)
    except queue.Full:
        return False
    return True
