"""Starts a supervised engine in a session of its own, so that it outlives the terminal, and passes commands to it."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.contract import commands, rundir
from engine.contract.begun import begun, refused
from engine.contract.config import RunConfig, dump_config, load_config
from engine.contract.errors import InputError, Unwritable
from engine.contract.journal import Tail, records
from engine.contract.rundir import RunDir
from mindprint_tui.clean import clean_event
from mindprint_tui.relay import relayed
from mindprint_tui.state import RunState, fold

DEFAULT = "configs/demo.yaml"
BAD_INPUT, DIED, STOPPED = 2, 3, 130
PATIENCE = 5.0  # seconds that a supervisor is given to take its lock, or to end once it has released it
LAST = 1 << 17  # bytes of a journal that hold an engine's last words


def find_config(path: Path) -> Path:
    """The file itself, or the one of that name that came with the program (`configs/demo.yaml`)."""
    if path.exists() or path.parent not in (Path("configs"), Path()):
        return path
    package = Path(__file__).parent  # a wheel carries the configurations inside the package, a checkout beside it
    shipped = [folder / "configs" / path.name for folder in (package, package.parent)]
    return next((found for found in shipped if found.exists()), path)


def prepare(config: Path, topics: Sequence[str], overrides: Sequence[str], logs: Path, run_id: str | None) -> RunDir:
    """Makes the run folder with the effective configuration in it; raises InputError and leaves nothing behind."""
    settings = effective(config, topics, overrides)
    name = run_id or rundir.fresh_name(settings.run.name, logs, time.time())
    run = rundir.create(logs, name)
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
    if rundir.holder(run) is not None:
        raise InputError(f"{run.path}: an engine is already at work on this run")
    try:
        output = open(run.output, "ab")  # noqa: SIM115 - closed below
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
    """Has the engine write what the run made; what it says goes to this terminal. Returns its exit status."""
    command = [sys.executable, "-m", "engine.export", str(run.path.resolve()), str(target.resolve())]
    command += ["--format", form, *([] if rank is None else ["--rank", str(rank)])]
    with relayed(sys.stdout) as out, relayed(sys.stderr) as err:
        return subprocess.run(command, check=False, stdout=out, stderr=err).returncode


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
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        hint = "; a run would most likely not fit the memory either" if done.returncode == -signal.SIGKILL else ""
        raise InputError(f"{config}: the preflight died ({how}) before it had a report{hint}") from error
    return report


def effective(config: Path, topics: Sequence[str], overrides: Sequence[str]) -> RunConfig:
    """The configuration with what the command line adds to it."""
    chosen = [f"curriculum.topics={json.dumps(list(topics))}"] if topics else []
    return load_config(find_config(config), (*overrides, *chosen))


def discard(run: RunDir) -> None:
    """Removes the folder of a run that was refused; one in which anything had begun stays as it is, whoever asks."""
    kept = begun(records(run.journal)) or any(run.adapters.glob("*")) or run.checkpoint.exists()
    if not kept and rundir.holder(run) is None:
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
    while supervisor is not None and supervisor.poll() is None and rundir.holder(run) is None:
        if time.monotonic() > until:
            return None  # it is there, if without its lock: somebody may have deleted the folder
        time.sleep(0.02)  # it is about to take the lock, or has just released it
    if rundir.holder(run) is not None:
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
    if rundir.holder(run) is None:
        return False
    tail = Tail(run.commands, rundir.unheard(run))
    asked = [commands.parse(line, offset) for lines in iter(tail.read, []) for offset, line in lines]
    return any(isinstance(each, commands.Command) and each.kind == "stop" for each in asked)


def last_words(run: RunDir) -> str:
    """What the engine's process printed last, for one that refused a run without a word in the journal."""
    lines = run.output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "the engine refused the run without a word"


def alive(logs: Path) -> bool:
    """Whether an engine is at work on any run in logs."""
    return any(rundir.holder(run) is not None for run in rundir.list_runs(logs))


def ask(run: RunDir, kind: str, topic: str | None = None) -> str:
    """Appends a command and returns its id; raises InputError where it makes no sense or nobody is there to read it."""
    command = commands.new_command(kind, topic)
    if rundir.holder(run) is None:
        raise InputError(f"{run.path}: no engine is at work on this run, so nobody would read the command")
    try:
        commands.append(run.commands, command)
    except OSError as error:
        raise InputError(str(Unwritable(run.commands, error))) from error
    return command.id
