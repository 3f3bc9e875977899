"""Takes a person's commands between steps, tokens and stages, and answers each exactly once."""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Literal

from engine.contract.errors import Unwritable
from engine.contract.journal.events import CommandTaken, Paused, Resumed
from engine.contract.journal.store import Tail
from engine.contract.run_folder.commands import BadCommand, Command, parse
from engine.contract.run_folder.folder import RunDir
from engine.contract.vocabulary import Phase
from engine.contract.wording import nearest, short
from engine.rules.enforce import Broken, failure
from engine.runtime.out_of_memory import exhausted
from engine.runtime.recorder import Recorder
from engine.runtime.set_aside import SetAside

PAUSE_TICK = 0.1  # seconds between two reads of commands.jsonl while paused
SHARE = 0.04  # of the training time at most is spent on commands, so that many of them slow no step noticeably
AT_ONCE = 8  # commands that are taken at each poll, however short the time since the last one was
READ = 1 << 14  # bytes of commands.jsonl that are read at a time
UNHEARD = "asked before this engine was started, while none was at work on the run; ask again if it is still wanted"

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
    """Reads commands.jsonl and obeys it; the run sets `reevaluate`, `on_pause` and `beat`, which only it can do.

    The run also sets `unheard`, in bytes. Commands before that byte were written while no engine ran. A stop or a pause
    among them is refused, since a person who starts an engine wants it to run. Commands about a topic are still obeyed.
    """

    def __init__(self, run: RunDir, recorder: Recorder, topics: Sequence[str], answered: Iterable[str] = ()) -> None:
        self._tail = Tail(run.commands)
        self._recorder = recorder
        self._signal: str | None = None
        self._known = set(answered)  # ids of taken commands; each is answered once
        self._lines: deque[tuple[int, bytes]] = deque()  # read but not taken: Stop and Skip leave them for later
        self._waiting: list[Command] = []
        self._paused = False
        self._polled = time.perf_counter()  # end of the last poll
        self._stood = 0.0  # seconds for which pauses held the run
        self._scoring: Literal["no", "running", "paused"] = "no"  # during a re-evaluation: the state before it
        self.status: dict[str, TopicStatus] = dict.fromkeys(topics, "pending")
        self.skipped: dict[str, str] = {}
        self.retries: list[str] = []  # topics to train again; a skip removes one
        self.owed: str | None = None  # the topic that the run itself trains again, before all others
        self.set_aside = SetAside()  # what keep can ask for; the run sets it
        self.keeps: list[tuple[str, Phase]] = []  # rolled-back phases to keep, before the next topic
        self.unheard = 0
        self.reevaluate: Callable[[str], str] = lambda topic: topic
        self.on_pause: Callable[[], None] = lambda: None
        self.beat: Callable[[], None] = lambda: None

    def listen(self) -> None:
        """Makes SIGTERM and SIGINT stop the run in order, with a checkpoint."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def poll(self) -> None:
        """Takes commands between two steps or tokens: may pause here; raises Stop or Skip.

        Re-evaluations wait for a boundary or a pause. A skip of the running topic does not end a pause: the next poll
        pauses again, until a person resumes.
        """
        self.beat()
        self._take_all()
        began = time.perf_counter()
        try:
            while self._paused and self._scoring != "paused":
                if self._scoring == "no":
                    self._reevaluate_waiting()
                time.sleep(PAUSE_TICK)
                self.beat()
                self._take_all()
        finally:
            self._polled = time.perf_counter()
            self._stood += self._polled - began

    def clock(self) -> float:
        """Returns seconds since an arbitrary moment; the clock stands still while a pause holds the run."""
        return time.perf_counter() - self._stood

    def boundary(self) -> None:
        """Takes commands between two stages of a topic, and runs the re-evaluations that wait for a steady model."""
        self.poll()
        self._reevaluate_waiting()
        self.poll()

    def hold(self, by: str) -> None:
        """Pauses at the next poll: a paused engine died, or run.pause_on asks for it."""
        self._recorder.say(Paused(by), durable=True)
        self._paused = True

    def upcoming(self) -> str | None:
        """Returns the topic to train now: the retry that the run owes, else the first one waiting, else a retry.

        Returns None if there is no topic left.
        """
        if self.owed is not None:
            return self.owed
        waiting = [id for id, status in self.status.items() if status == "pending" and id not in self.retries]
        return next(iter(waiting or self.retries), None)

    def begin(self, topic: str) -> None:
        """Marks the topic as running and removes it from the waiting retries."""
        self.status[topic], self.owed = "running", None
        self.retries = [id for id in self.retries if id != topic]

    def end(self, topic: str, again: bool) -> None:
        """Marks the topic as finished; if `again`, as pending, and the run owes it a retry."""
        self.status[topic] = "pending" if again else "finished"
        if again:
            self.owed = topic
            self.retries.insert(0, topic)

    def close(self) -> None:
        """Refuses the commands that are left when the run is over."""
        for command in self._waiting:
            self._answer(command, "refused", "the run is over")
        self._waiting.clear()
        while (line := self._next_line()) is not None:
            if (asked := self._parse_once(*line)) is not None:
                self._answer(asked, "refused", asked.reason if isinstance(asked, BadCommand) else "the run is over")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name

    def _next_line(self) -> tuple[int, bytes] | None:
        """Returns the next line of commands.jsonl that was not read before, with its byte offset."""
        if not self._lines:
            self._lines.extend(self._tail.read(READ))
        return self._lines.popleft() if self._lines else None

    def _parse_once(self, offset: int, line: bytes) -> Command | BadCommand | None:
        """Returns the command of a line, or None if the line is blank or its id was taken before."""
        if not line.strip() or (asked := parse(line, offset)).id in self._known:
            return None
        self._known.add(asked.id)
        late = offset < self.unheard and asked.kind in ("stop", "pause")
        return BadCommand(asked.id, asked.kind, UNHEARD) if late else asked

    def _take_all(self) -> None:
        """Takes the commands that are there: all during a pause, else as many as SHARE allows. The rest waits."""
        began = time.perf_counter()
        until, taken = began + SHARE * (began - self._polled), 0
        while True:
            if self._signal is not None:
                raise Stop(self._signal)
            if not self._paused and taken >= AT_ONCE and time.perf_counter() > until:
                return
            line = self._next_line()
            if line is None:
                return
            if (asked := self._parse_once(*line)) is not None:
                self._take(asked)
            taken += 1

    def _take(self, command: Command | BadCommand) -> None:
        if isinstance(command, BadCommand):
            self._answer(command, "refused", command.reason)
            return
        if command.topic is not None and command.topic not in self.status:
            self._answer(command, "refused", f"no topic {short(command.topic)}{nearest(command.topic, self.status)}")
            return
        match command.kind:
            case "stop":
                self._answer(command, "done", "stopping with a checkpoint")
                raise Stop(command.by)
            case "pause":
                self._pause(command)
            case "resume":
                self._resume(command)
            case "skip":
                self._skip(command)
            case "retry":
                self._retry(command)
            case "keep":
                self._keep(command)
            case "reevaluate":
                self._wait(command)

    def _wait(self, command: Command) -> None:
        if any(command.topic == other.topic for other in self._waiting):
            self._answer(command, "refused", f"{command.topic} already waits to be scored")
            return
        self._waiting.append(command)

    def _pause(self, command: Command) -> None:
        if self._paused:
            self._answer(command, "refused", "the run is paused already")
            return
        self.on_pause()
        self._answer(command, "done", "paused; resume goes on")
        self._recorder.say(Paused(command.by), durable=True)
        self._paused = True

    def _resume(self, command: Command) -> None:
        if not self._paused:
            self._answer(command, "refused", "the run is not paused")
            return
        self._answer(command, "done", "resumed")
        self._recorder.say(Resumed(command.by))
        self._paused = False

    def _skip(self, command: Command) -> None:
        topic = command.topic or ""
        if self.status[topic] == "finished":
            self._answer(command, "refused", f"{topic} is finished already")
            return
        if self.status[topic] == "running":
            self._answer(command, "done", f"{topic} is skipped; nothing of its phase is committed")
            raise Skip(command.by)
        if topic in self.retries:
            self.retries.remove(topic)
            self.owed = None if topic == self.owed else self.owed
            self.status[topic] = "finished"
            self._answer(command, "done", f"{topic} is not trained again; its verdict and what it has learned stay")
            return
        if topic in self.skipped:
            self._answer(command, "refused", f"{topic} is already marked to be skipped")
            return
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

    def _keep(self, command: Command) -> None:
        """Notes a rolled-back phase to keep. A waiting retry would remove it again, so that retry is taken back."""
        topic = command.topic or ""
        named = f"{topic}:{command.phase}" if command.phase else topic
        found = self.set_aside.find(topic, command.phase)
        if self.status[topic] == "running":
            self._answer(command, "refused", f"{topic} is running; keep a phase of it when it is finished")
        elif found is None:
            self._answer(command, "refused", f"nothing of {named} is set aside; set aside are: {self.set_aside.listed}")
        elif (topic, found.phase) in self.keeps:
            self._answer(command, "refused", f"{topic}:{found.phase} is already marked to be kept")
        else:
            self.keeps.append((topic, found.phase))
            self.set_aside.renew(topic, found.phase)
            if topic in self.retries:
                self.retries.remove(topic)
                self.owed = None if topic == self.owed else self.owed
                self.status[topic] = "finished"
            reason = f"the rolled-back {found.phase} of {topic} is kept before the next topic begins, and scored again"
            self._answer(command, "done", reason, found.phase)

    def _reevaluate_waiting(self) -> None:
        """Runs the waiting re-evaluations. An error in one fails the topic asked for, not the running one.

        Three kinds of exception pass through: a person's Stop or Skip, an error that ends the engine, and a broken
        rule. After a broken rule no model can be trusted.
        """
        while self._waiting:
            command = self._waiting.pop(0)
            self._scoring = "paused" if self._paused else "running"
            try:
                reason = self.reevaluate(command.topic or "")
            except Exception as error:
                self._answer(command, "refused", f"not scored: {error}")
                if isinstance(error, Stop | Skip | Unwritable | Broken) or exhausted(error):
                    raise
                event = failure(f"{command.topic} reevaluated", error, command.topic)
                self._recorder.say(event, durable=True)
            else:
                self._answer(command, "done", reason)
            finally:
                self._scoring = "no"

    def _answer(
        self,
        command: Command | BadCommand,
        outcome: Literal["done", "refused"],
        reason: str,
        phase: Phase | None = None,
    ) -> None:
        """Journals the answer. A refusal need not be flushed: after a power failure the command is refused again."""
        topic = command.topic if isinstance(command, Command) else None
        event = CommandTaken(command.id, command.kind, outcome, reason, topic, phase)
        self._recorder.say(event, durable=outcome == "done")
