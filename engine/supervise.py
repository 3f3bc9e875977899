"""`python -m engine.supervise RUN_DIR`: starts the engine, and again from its checkpoint when it has died.

The supervisor holds the run's lock from first to last and hands it to each engine that it starts, so that the run
belongs to somebody between two engines, too. It writes to the journal only while no engine of its own is alive.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from engine.contract.errors import InputError
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.journal.events import OUT_OF_MEMORY, EngineDied, Failed, RunFinished
from engine.contract.journal.live import live_records
from engine.contract.journal.refusal import begun
from engine.contract.journal.store import records, whole_lines
from engine.contract.python_child import environment, python
from engine.contract.regular_file import only_regular
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.contract.settings.config import RunConfig, load_config
from engine.runtime import out_of_memory
from engine.runtime.history import landmarks, read_history
from engine.runtime.recorder import Recorder

ENGINE = python("engine")
TICK = 0.5  # seconds between two looks at the engine
NICE = 5  # steps that a run stands behind what a person waits for
DEATHS = 3  # at the same place, and the run ends, unless memory was the reason and pieces can still be smaller
WORDS = 1 << 16  # bytes of what an engine printed last
ASKED = (signal.SIGTERM, signal.SIGINT)  # an engine that one of these ended was asked to end


@dataclass(frozen=True, slots=True)
class End:
    """How an engine ended: `code` as subprocess gives it (-9 for SIGKILL), the time without a sign if it hung."""

    code: int
    silent: float | None
    no_memory: bool

    @property
    def signal(self) -> str | None:
        return signal.Signals(-self.code).name if self.code < 0 else None

    @property
    def reason(self) -> str:
        if self.silent is not None:
            return f"no sign of life for {self.silent:.0f} s, so it was ended"
        return OUT_OF_MEMORY if self.no_memory else ""


class Supervisor:
    """One run's; raises InputError where another has its lock."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._lock = Lock(run)
        self._engine: subprocess.Popen[bytes] | None = None
        self._requests = 0  # to stop: one is passed on, a second one ends the engine
        self._config = _config(run)
        self._limit = self._config.run.hang_after if self._config else 0.0
        self._reached, self._deaths = -1, 0  # how far the run had come at the last death, and the deaths there

    def run(self) -> int:
        """Until the run has ended, was stopped, or cannot go on; returns its exit status."""
        for number in (*ASKED, signal.SIGQUIT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that goes takes no run with it
        awake = stay_awake()
        try:
            while (status := self._life()) is None:
                pass
            return status
        finally:
            self._lock.release()
            if awake is not None:
                awake.terminate()
                awake.wait()

    def _life(self) -> int | None:
        """One engine from its start to its end; returns the run's exit status, None where another is to be started."""
        heard = whole_lines(self._run.journal)
        end = self._live()
        status = self._final(end, heard)
        if status is not None:
            return status
        progress = landmarks(records(self._run.journal))
        self._deaths = self._deaths + 1 if progress == self._reached else 1
        self._reached = progress
        over = self._deaths >= DEATHS and not self._shrinks(end)
        self._journal(end, over)
        return DIED if over else None

    def _live(self) -> End:
        """Starts an engine and waits until it has ended, by itself or because it gave no sign of life."""
        output = _size(self._run.output)
        kills = out_of_memory.kernel_kills()
        beats, pipe = os.pipe()
        command = [*ENGINE, str(self._run.path), str(self._lock.descriptor), str(pipe)]
        handed_on = (self._lock.descriptor, pipe)
        self._engine = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, pass_fds=handed_on)
        os.close(pipe)
        if self._requests:
            self._engine.terminate()
        try:
            silent = self._watch(self._engine, beats)
            code = self._engine.wait()
        finally:
            os.close(beats)
        self._lock.sign()
        said = out_of_memory.WORDS.search(_last_words(self._run.output, output)) is not None
        killed = code == -signal.SIGKILL and silent is None and out_of_memory.kernel_kills() > kills
        return End(code, silent, killed or (code not in (0, 1, BAD_INPUT, STOPPED) and said))

    def _watch(self, engine: subprocess.Popen[bytes], beats: int) -> float | None:
        """Returns when the engine has ended; after how many silent seconds, where it had to be ended for them.

        The engine gives its first sign when its libraries are loaded, and others while it reads data and model.
        """
        last: float | None = None
        while engine.poll() is None:
            ready, _, _ = select.select([beats], [], [], TICK)
            if ready:
                if not os.read(beats, 4096):
                    return None
                last = time.monotonic()
            elif last is not None and self._limit and (silent := time.monotonic() - last) > self._limit:
                engine.kill()
                return silent
        return None

    def _final(self, end: End, heard: int) -> int | None:
        """The run's exit status if this end is its end; None if the engine died and is to be started again.

        What this engine said begins at byte `heard` of the journal. 2 says that nothing was started, so it is not for
        one that follows a death.
        """
        finished = None
        for record in records(self._run.journal, heard):
            finished = record.event if isinstance(record.event, RunFinished) else finished
        if finished is not None:
            return finished.exit_status
        if end.code == BAD_INPUT:
            return DIED if self._deaths or begun(records(self._run.journal, heard)) else BAD_INPUT
        if self._requests or -end.code in ASKED:
            return STOPPED
        if end.code >= 0 and not end.no_memory:
            return DIED  # it could not go on, and has said why
        return None

    def _shrinks(self, end: End) -> bool:
        """Whether the next engine works in smaller pieces than this one, which died for lack of memory."""
        if end.reason != OUT_OF_MEMORY or self._config is None:
            return False
        before = read_history(live_records(self._run.journal)).out_of_memory
        return out_of_memory.pieces(before + 1, self._config) > out_of_memory.pieces(before, self._config)

    def _journal(self, end: End, over: bool) -> None:
        recorder = Recorder(self._run)
        try:
            status = end.code if end.code >= 0 else None
            recorder.say(EngineDied(status, end.signal, self._deaths, end.reason), durable=True)
            if over:
                how = end.reason or end.signal or f"status {end.code}"
                words = (
                    f"the engine died {self._deaths} times at the same place ({how}); its own words are in engine.out"
                )
                recorder.say(Failed("engine", words, ""), durable=True)
        finally:
            recorder.close()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._requests += 1
        if self._engine is None:
            return
        if number == signal.SIGQUIT or self._requests > 1:
            self._engine.kill()
        else:
            self._engine.terminate()


def give_way() -> None:
    """Lets what a person waits for, the console first of all, go before this session of the run's own.

    Linux shares the cores out among sessions first, and looks at the niceness of a process only within its own.
    """
    if os.getsid(0) != os.getpid():
        return  # a person started this by hand, and the shell would stand behind, too
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE))


def stay_awake() -> subprocess.Popen[bytes] | None:
    """Keeps the machine from sleeping while this process lives, where the platform has a program for that (macOS)."""
    program = shutil.which("caffeinate")
    if program is None:
        return None
    command, quiet = [program, "-is", "-w", str(os.getpid())], subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)


def _config(run: RunDir) -> RunConfig | None:
    try:
        return load_config(run.config)
    except InputError:
        return None  # the engine refuses it, in words


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last_words(path: Path, offset: int) -> str:
    """What was printed from byte `offset` on, or the end of it."""
    if not path.exists():
        return ""
    with open(path, "rb", opener=only_regular) as file:
        file.seek(max(offset, _size(path) - WORDS))
        return file.read().decode("utf-8", "replace")


def main() -> int:
    """The run's exit status: 0, 1, 2, 3 or 130."""
    os.umask(0o077)
    if len(sys.argv) != 2:
        print("usage: python -m engine.supervise RUN_DIR", file=sys.stderr)
        return BAD_INPUT
    try:
        supervisor = Supervisor(RunDir(Path(sys.argv[1])))
        give_way()
        return supervisor.run()
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"the run cannot go on: {error}", file=sys.stderr)
        return DIED


if __name__ == "__main__":
    sys.exit(main())
