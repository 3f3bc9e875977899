"""`python -m engine.supervise RUN_DIR`: runs the engine and restarts it if it dies.

A restarted engine continues from its checkpoint. The supervisor holds the run's lock from start to end and passes it to
each engine. So the run stays locked between two engines, too. It writes to the journal only while its engine is not
running.
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
from engine.contract.journal.refusal import has_begun
from engine.contract.journal.store import records, whole_lines
from engine.contract.python_child import environment, python
from engine.contract.regular_file import only_regular
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import load_config
from engine.contract.settings.notify import effective, names_somebody
from engine.runtime import out_of_memory
from engine.runtime.history import landmarks, read_history
from engine.runtime.recorder import Recorder

ENGINE = python("engine")
TICK = 0.5  # seconds between two checks of the engine
NICE = 5  # niceness of a run, so that interactive programs go first
DEATHS = 3  # deaths at the same place that end the run, unless memory was the reason and pieces can still be smaller
WORDS = 1 << 16  # bytes of the engine's last output to search
ASKED = (signal.SIGTERM, signal.SIGINT)  # signals that ask an engine to end; it did not crash


@dataclass(frozen=True, slots=True)
class EngineEnd:
    """How an engine ended.

    `code` is the return code of subprocess (-9 for SIGKILL). `silent` is the time in seconds without a heartbeat if
    the engine hung, or None. `no_memory` tells whether it ran out of memory.
    """

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
    """Supervisor of one run. Raises InputError if another process holds the run's lock."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._lock = Lock(run)
        self._engine: subprocess.Popen[bytes] | None = None
        self._requests = 0  # requests to stop: the first is passed on to the engine, the second kills it
        self._config = _config(run)
        self._limit = self._config.run.hang_after if self._config else 0.0
        self._reached, self._deaths = -1, 0  # progress at the last death, and number of deaths at that point

    def run(self) -> int:
        """Runs engines until the run has ended, was stopped, or cannot continue. Returns the exit status."""
        for number in (*ASKED, signal.SIGQUIT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # closing the terminal must not end the run
        awake = stay_awake()
        try:
            status = self._lives()
            if status in (0, 1):
                self._judge()
            return status
        finally:
            if awake is not None:
                awake.terminate()
                awake.wait()

    def _lives(self) -> int:
        """Runs engines one after another, and gives the run's lock free."""
        told, telling = os.pipe()
        self._start_notifier(told)
        try:
            while (status := self._life()) is None:
                pass
            return status
        finally:
            os.close(telling)  # the notifier tells the rest, and ends
            self._lock.release()

    def _judge(self) -> None:
        """Lets the configured judge rate the answers, now that no engine needs the memory.

        The run has ended: it is not locked, and its status does not depend on the judge. A signal ends the judge, too.
        """
        if self._config is None or not self._config.evaluation.judge.model or self._requests:
            return
        command = python("engine.judge", str(self._run.path))
        self._engine = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL)
        if self._requests:
            self._engine.terminate()
        self._engine.wait()

    def _start_notifier(self, pipe: int) -> None:
        """Starts the process that tells a person what happens, if there is anybody to tell."""
        with contextlib.suppress(InputError):
            if self._config is not None and names_somebody(effective(self._config.run.notify)):
                words = (str(self._run.path), str(whole_lines(self._run.journal)), str(pipe))
                command = python("engine.notify", *words)
                subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, pass_fds=(pipe,))
        os.close(pipe)

    def _life(self) -> int | None:
        """Runs one engine. Returns the run's exit status, or None if another engine has to be started."""
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

    def _live(self) -> EngineEnd:
        """Starts an engine and waits until it ends. Kills it if its heartbeat stops."""
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
        return EngineEnd(code, silent, killed or (code not in (0, 1, BAD_INPUT, STOPPED) and said))

    def _watch(self, engine: subprocess.Popen[bytes], beats: int) -> float | None:
        """Waits for the engine's end. Returns the seconds without a heartbeat if it had to be killed, or None.

        The engine sends its first heartbeat when its libraries are loaded, and more while it reads data and model.
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

    def _final(self, end: EngineEnd, heard: int) -> int | None:
        """Returns the run's exit status if the run is over, or None if the engine died and must be restarted.

        This engine's records start at byte `heard` of the journal. Status 2 means that nothing was started, so it is
        not returned after the death of an earlier engine.
        """
        finished = None
        for record in records(self._run.journal, heard):
            finished = record.event if isinstance(record.event, RunFinished) else finished
        if finished is not None:
            return finished.exit_status
        if end.code == BAD_INPUT:
            return DIED if self._deaths or has_begun(records(self._run.journal, heard)) else BAD_INPUT
        if self._requests or -end.code in ASKED:
            return STOPPED
        if end.code >= 0 and not end.no_memory:
            return DIED  # it could not continue, and has journaled why
        return None

    def _shrinks(self, end: EngineEnd) -> bool:
        """Tells whether this engine died from lack of memory and the next one can use smaller pieces."""
        if end.reason != OUT_OF_MEMORY or self._config is None:
            return False
        before = read_history(live_records(self._run.journal)).out_of_memory
        return out_of_memory.pieces(before + 1, self._config) > out_of_memory.pieces(before, self._config)

    def _journal(self, end: EngineEnd, over: bool) -> None:
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
    """Lowers the priority of the run, so that interactive programs, above all the console, go first.

    Linux first divides the cores among sessions. The niceness of a process counts only within its session. So the
    autogroup of the session is changed, too.
    """
    if os.getsid(0) != os.getpid():
        return  # started by hand from a shell: the shell is in the same session and would become slower, too
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE))


def stay_awake() -> subprocess.Popen[bytes] | None:
    """Keeps the machine awake while this process lives, if the platform has a program for it (macOS: caffeinate)."""
    program = shutil.which("caffeinate")
    if program is None:
        return None
    command, quiet = [program, "-is", "-w", str(os.getpid())], subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)


def _config(run: RunDir) -> RunConfig | None:
    try:
        return load_config(run.config)
    except InputError:
        return None  # the engine refuses it with a message


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last_words(path: Path, offset: int) -> str:
    """Returns the output from byte `offset` on, at most its last WORDS bytes."""
    if not path.exists():
        return ""
    with open(path, "rb", opener=only_regular) as file:
        file.seek(max(offset, _size(path) - WORDS))
        return file.read().decode("utf-8", "replace")


def main() -> int:
    """Returns the run's exit status: 0, 1, 2, 3 or 130."""
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
