"""Starts a supervised engine in a session of its own, so that it outlives the terminal, and passes commands to it."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.contract.errors import InputError, Unwritable
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED
from engine.contract.python_child import environment, python
from engine.contract.run_folder import lock
from engine.contract.run_folder.files import half_made, own
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import dump_config
from mindprint_tui.journal.sanitize import clean, clean_event
from mindprint_tui.process.child_output import relayed
from mindprint_tui.process.run_folder import effective

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def spawn(run: RunDir) -> subprocess.Popen[bytes]:
    """Starts a supervised engine on a run folder; what they print goes to engine.out there.

    The process is the supervisor: its status is the run's, SIGTERM stops the run in order, SIGQUIT at once.
    """
    if lock.holder(run) is not None:
        raise InputError(f"{run.path}: an engine is already at work on this run")
    try:
        output = open(run.output, "ab", opener=own)  # noqa: SIM115 - closed below
        run.output.chmod(0o600)
    except OSError as error:
        raise InputError(str(Unwritable(run.output, error))) from error
    with output:
        return subprocess.Popen(
            python("engine.supervise", str(run.path.resolve())),
            env=environment(),
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
    command = python("engine.export", str(run.path.resolve()), str(target))
    command += ["--format", form, *([] if rank is None else ["--rank", str(rank)])]
    with relayed(sys.stdout) as out, relayed(sys.stderr) as err:
        child = subprocess.Popen(command, env=environment(), stdout=out, stderr=err)
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


def score(run: RunDir, file: Path) -> dict[str, Any]:
    """Has the engine score a file's texts with the scorer of a run; raises InputError as the engine says it."""
    return _scores([str(run.path.resolve()), str(file.resolve())], file)


def score_by_config(config: Path, topics: Sequence[str], overrides: Sequence[str], file: Path) -> dict[str, Any]:
    """Has the engine fit a scorer for a configuration in a throw-away folder, and score a file's texts with it."""
    with tempfile.TemporaryDirectory(prefix="mindprint-score-") as scratch:
        run = RunDir(Path(scratch))
        run.config.write_text(dump_config(effective(config, topics, overrides)), encoding="utf-8")
        return _scores([scratch, str(file.resolve()), "--fit"], file)


def _scores(arguments: Sequence[str], file: Path) -> dict[str, Any]:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill, too, takes child and folder away
    with relayed(sys.stderr) as err:
        command = [sys.executable, "-m", "engine.score", *arguments]
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)
    if done.returncode == STOPPED:
        raise KeyboardInterrupt
    if done.returncode == BAD_INPUT:
        raise SystemExit(BAD_INPUT)  # the sentence is on stderr already
    try:
        found: dict[str, Any] = clean_event(json.loads(done.stdout))
    except ValueError as error:
        raise InputError(f"{file}: the scoring died ({_how(done.returncode)}) before it had an answer") from error
    return found


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
        command, quiet = python("engine.check", scratch), subprocess.DEVNULL
        done = subprocess.run(command, env=environment(), check=False, stdin=quiet, stdout=subprocess.PIPE, stderr=err)
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
