"""Takes people's commands between steps, between tokens and at boundaries, and answers every one exactly once."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Literal

from engine.contract.commands import BadCommand, Command, parse
from engine.contract.events import CommandTaken, Paused, Resumed
from engine.contract.journal import Tail
from engine.contract.rundir import RunDir
from engine.contract.typed import nearest
from engine.record import Recorder

PAUSE_TICK = 0.1  # seconds between two looks at commands.jsonl while paused

TopicStatus = Literal["pending", "running", "finished"]


class Stop(Exception):
    """A person asked the run to stop; `by` says who."""

    def __init__(self, by: str) -> None:
        super().__init__(f"stopped by {by}")
        self.by = by


class Skip(Exception):
    """A person asked to skip the topic that is running."""

    def __init__(self, by: str) -> None:
        super().__init__(f"skipped by {by}")
        self.by = by


class Control:
    """Reads commands.jsonl; `reevaluate` and `on_pause` are set by the run, which alone can do those things."""

    def __init__(self, run: RunDir, recorder: Recorder, topics: Sequence[str], answered: Iterable[str] = ()) -> None:
        self._tail = Tail(run.commands)
        self._recorder = recorder
        self._signal: str | None = None
        self._answered = set(answered)
        self._waiting: list[Command] = []
        self.status: dict[str, TopicStatus] = dict.fromkeys(topics, "pending")
        self.skipped: dict[str, str] = {}
        self.retries: list[str] = []
        self.reevaluate: Callable[[str], str] = lambda topic: topic
        self.on_pause: Callable[[], None] = lambda: None

    def listen(self) -> None:
        """Lets SIGTERM and SIGINT stop the run in order, with a checkpoint."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def poll(self) -> None:
        """Between two steps or tokens: may pause here; raises Stop or Skip. Re-evaluations wait for a boundary."""
        if self._signal is not None:
            raise Stop(self._signal)
        for offset, line in self._tail.read():
            if line.strip():
                self._take(parse(line, offset))

    def boundary(self) -> None:
        """Between two stages of a topic: does what waited for the model to stand still, too."""
        self.poll()
        self._reevaluate_waiting()

    def close(self) -> None:
        """Refuses what is left when the run is over."""
        waiting, self._waiting = self._waiting, []
        for offset, line in self._tail.read():
            if line.strip() and not isinstance(command := parse(line, offset), BadCommand):
                waiting.append(command)
        for command in waiting:
            self._answer(command, "refused", "the run is over")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name

    def _take(self, command: Command | BadCommand) -> None:
        if command.id in self._answered:
            return  # an id is answered once; the same line sent again asks for nothing new
        if isinstance(command, BadCommand):
            self._answered.add(command.id)
            self._recorder.say(CommandTaken(command.id, command.kind, "refused", command.reason))
            return
        if command.topic is not None and command.topic not in self.status:
            self._answer(command, "refused", f"no topic {command.topic!r}{nearest(command.topic, self.status)}")
            return
        match command.kind:
            case "stop":
                self._answer(command, "done", "stopping with a checkpoint")
                raise Stop(command.by)
            case "pause":
                self._pause(command)
            case "resume":
                self._answer(command, "refused", "the run is not paused")
            case "skip":
                self._skip(command)
            case "retry":
                self._retry(command)
            case "reevaluate":
                self._waiting.append(command)

    def _pause(self, command: Command) -> None:
        self.on_pause()
        self._answer(command, "done", "paused; resume goes on")
        self._recorder.say(Paused(command.by), durable=True)
        while True:
            self._reevaluate_waiting()
            if self._signal is not None:
                raise Stop(self._signal)
            for offset, line in self._tail.read():
                if not line.strip():
                    continue
                asked = parse(line, offset)
                if isinstance(asked, Command) and asked.id not in self._answered:
                    if asked.kind == "resume":
                        self._answer(asked, "done", "resumed")
                        self._recorder.say(Resumed(asked.by))
                        return
                    if asked.kind == "pause":
                        self._answer(asked, "refused", "the run is paused already")
                        continue
                self._take(asked)
            time.sleep(PAUSE_TICK)

    def _skip(self, command: Command) -> None:
        topic = command.topic or ""
        if self.status[topic] == "finished":
            self._answer(command, "refused", f"{topic} is finished already")
            return
        if self.status[topic] == "running":
            self._answer(command, "done", f"{topic} is skipped; nothing of its phase is committed")
            raise Skip(command.by)
        self.skipped[topic] = command.by
        self._answer(command, "done", f"{topic} will be skipped")

    def _retry(self, command: Command) -> None:
        topic = command.topic or ""
        if self.status[topic] != "finished":
            self._answer(command, "refused", f"{topic} is {self.status[topic]}; only a finished topic can be retried")
            return
        self.status[topic] = "pending"
        self.retries.append(topic)
        self._answer(command, "done", f"{topic} is trained again after the topics that are still to come")

    def _reevaluate_waiting(self) -> None:
        while self._waiting:
            command = self._waiting.pop(0)
            self._answer(command, "done", self.reevaluate(command.topic or ""))

    def _answer(self, command: Command, outcome: Literal["done", "refused"], reason: str) -> None:
        self._answered.add(command.id)
        self._recorder.say(CommandTaken(command.id, command.kind, outcome, reason, command.topic), durable=True)
