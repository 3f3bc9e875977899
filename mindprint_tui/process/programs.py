"""Starts a supervised engine in a session of its own, so that it outlives the terminal, and passes commands to it."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError, Unwritable
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.journal.refusal import begun, refused
from engine.contract.journal.store import Tail, records
from engine.contract.own import half_made, own
from engine.contract.run_folder import commands
from engine.contract.run_folder import folder as run_folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig, dump_config, load_config
from mindprint_tui.journal.run_state import RunState, fold
from mindprint_tui.journal.sanitize import clean, clean_event
from mindprint_tui.process.child_output import relayed

DEFAULT = "configs/demo.yaml"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 5.0  # seconds that a supervisor is given to take its lock, or to end once it has released it
LAST = 1 << 17  # bytes of a journal that hold an engine's last words


def find_config(path: Path) -> Path:
    """The file itself, or the one of that name that came with the program (`configs/demo.yaml`)."""
    if path.exists() or path.parent not in (Path("configs"), Path()):
        return path
    package = Path(__file__).parents[1]  # a wheel carries the configurations inside the package, a checkout beside it
    shipped = [folder / "configs" / path.name for folder in (package, package.parent)]
    return next((found for found in shipped if found.exists()), path)


def prepare(config: Path, topics: Sequence[str], overrides: Sequence[str], logs: Path, run_id: str | None) -> RunDir:
    """Makes the run folder with the effective configuration in it; raises InputError and leaves nothing behind."""
    settings = effective(config, topics, overrides)
    name = run_id or run_folder.fresh_name(settings.run.name, logs, time.time())
    run = run_folder.create(logs, name)
    try:
        run.config.write_text(dump_config(settings), encoding="utf-8")
        run.config.chmod(0o600)
    except OSError as error:
        discard(run)
        raise InputError(f"{run.config}: the run cannot be written ({error.strerror})") from error
    return run


def spawn(run: RunDir) -> subprocess.Popen[bytes]:
    """Starts a supervised engine on a run folder; what they print goes to engine.out there.

    The process is the supervisor: its status is the run's, SIGTERM stops the run in order, SIGQUIT at once.
    """
    if run_folder.holder(run) is not None:
        raise InputError(f"{run.path}: an engine is already at work on this run")
    try:
        output = open(run.output, "ab", opener=own)  # noqa: SIM115 - closed below
        run.output.chmod(0o600)
    except OSError as error:
        raise InputError(str(Unwritable(run.output, error))) from error
    with output:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.supervise", str(run.path.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def export(run: RunDir, target: Path, form: str, rank: int | None) -> int:
    """Has the engine write what the run made; what it says goes to this terminal. Returns its exit status.

    An engine that dies without a word has died (3), and nothing of what it was writing is left.
    """
    target = target.resolve()
    command = [sys.executable, "-m", "engine.export", str(run.path.resolve()), str(target)]
    command += ["--format", form, *([] if rank is None else ["--rank", str(rank)])]
    with relayed(sys.stdout) as out, relayed(sys.stderr) as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        with _passing_on(child):
            status = child.wait()
    if status in (0, BAD_INPUT, STOPPED):
        return status
    shutil.rmtree(half_made(target, child.pid), ignore_errors=True)
    hint = "; most likely the memory did not suffice" if status == -signal.SIGKILL else ""
    print(f"{clean(str(target))}: the export died ({_how(status)}), and nothing was written{hint}", file=sys.stderr)
    return DIED


@contextmanager
def _passing_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """A request to end is the child's to answer, which clears up after itself; who asked waits for it."""
    heard = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: child.send_signal(number)) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _how(status: int) -> str:
    """How a child died, from its status as subprocess gives it."""
    return f"signal {-status}" if status < 0 else f"status {status}"


def check(config: Path, topics: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Has the engine examine a configuration in a throw-away folder; returns its report, `problems` in it.

    Raises InputError for a configuration that cannot be read, and where the engine died without a report.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill, too, takes child and folder away
    with tempfile.TemporaryDirectory(prefix="mindprint-check-") as scratch, relayed(sys.stderr) as err:
        run = RunDir(Path(scratch))
        run.config.write_text(dump_config(effective(config, topics, overrides)), encoding="utf-8")
        command = [sys.executable, "-m", "engine.check", scratch]
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)
    if done.returncode == STOPPED:
        raise KeyboardInterrupt
    try:
        report: dict[str, Any] = clean_event(json.loads(done.stdout))
    except ValueError as error:
        hint = "; a run would most likely not fit the memory either" if done.returncode == -signal.SIGKILL else ""
        raise InputError(
            f"{config}: the preflight died ({_how(done.returncode)}) before it had a report{hint}"
        ) from error
    return report


def effective(config: Path, topics: Sequence[str], overrides: Sequence[str]) -> RunConfig:
    """The configuration with what the command line adds to it."""
    chosen = [f"curriculum.topics={json.dumps(list(topics))}"] if topics else []
    return load_config(find_config(config), (*overrides, *chosen))


def discard(run: RunDir) -> None:
    """Removes the folder of a run that was refused; one in which anything had begun stays as it is, whoever asks."""
    kept = begun(records(run.journal)) or any(run.adapters.glob("*")) or run.checkpoint.exists()
    if not kept and run_folder.holder(run) is None:
        shutil.rmtree(run.path, ignore_errors=True)


def discard_refused(run: RunDir) -> None:
    """Removes the folder of a run whose engine refused it, if one did."""
    if refused(records(run.journal)):
        discard(run)


def ended(run: RunDir, supervisor: subprocess.Popen[bytes] | None) -> int | None:
    """The exit status of a run that nobody is at work on, None while somebody is.

    Of one that was started here its supervisor may say that it was refused, died or was stopped; else the journal does.
    """
    until = time.monotonic() + PATIENCE
    while supervisor is not None and supervisor.poll() is None and run_folder.holder(run) is None:
        if time.monotonic() > until:
            return None  # it is there, if without its lock: somebody may have deleted the folder
        time.sleep(0.02)  # it is about to take the lock, or has just released it
    if run_folder.holder(run) is not None:
        return None
    if supervisor is not None and supervisor.returncode in (BAD_INPUT, DIED, STOPPED):
        return supervisor.returncode
    finished = said(run).finished
    if finished is not None:
        return finished.exit_status
    return BAD_INPUT if refused(records(run.journal)) else DIED


def said(run: RunDir, since: int = 0) -> RunState:
    """What the end of a journal says, read from byte `since` at the earliest."""
    size = run.journal.stat().st_size if run.journal.exists() else 0
    return fold(RunState(), records(run.journal, max(since, size - LAST)))


def stopping(run: RunDir) -> bool:
    """Whether an engine is at work on a run and has been asked to stop, which nothing takes back."""
    if run_folder.holder(run) is None:
        return False
    tail = Tail(run.commands, run_folder.unheard(run))
    asked = [commands.parse(line, offset) for lines in iter(tail.read, []) for offset, line in lines]
    return any(isinstance(each, commands.Command) and each.kind == "stop" for each in asked)


def last_words(run: RunDir) -> str:
    """What the engine's process printed last, for one that refused a run without a word in the journal."""
    lines = run.output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "the engine refused the run without a word"


def alive(logs: Path) -> bool:
    """Whether an engine is at work on any run in logs."""
    return any(run_folder.holder(run) is not None for run in run_folder.list_runs(logs))


def ask(run: RunDir, kind: str, topic: str | None = None) -> str:
    """Appends a command and returns its id; raises InputError where it makes no sense or nobody is there to read it."""
    command = commands.new_command(kind, topic)
    if run_folder.holder(run) is None:
        raise InputError(f"{run.path}: no engine is at work on this run, so nobody would read the command")
    try:
        commands.append(run.commands, command)
    except OSError as error:
        raise InputError(str(Unwritable(run.commands, error))) from error
    return command.id
