"""Starts the engine's programs: supervisor, export, serve, judge, score and check.

A supervised engine gets a new session, so that it outlives the terminal.
"""

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
from engine.contract.exit_codes import BAD_INPUT, DIED, STOPPED, end_signals
from engine.contract.python_child import environment, python
from engine.contract.run_folder import lock
from engine.contract.run_folder.files import open_own, temporary_path
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import dump_config
from mindprint_tui.journal.sanitize import clean, clean_event
from mindprint_tui.process.child_output import relayed
from mindprint_tui.process.run_folder import effective


def spawn(run: RunDir) -> subprocess.Popen[bytes]:
    """Starts a supervised engine on a run folder. Its output goes to engine.out in that folder.

    Returns the process of the supervisor. Its exit status is the run's. SIGTERM stops the run with a checkpoint,
    SIGQUIT stops it at once. Raises InputError if an engine already runs, or if engine.out cannot be written.
    """
    if lock.holder(run) is not None:
        raise InputError(f"{run.path}: an engine is already at work on this run")
    try:
        output = open(run.output, "ab", opener=open_own)  # noqa: SIM115 - closed below
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


def export(
    run: RunDir, target: Path, form: str, rank: int | None, numbers: str | None = None, measure: bool = False
) -> int:
    """Runs the engine's export, shows its output on this terminal, and returns its exit status.

    If the engine dies, the status is 3 and the half-written target is removed.
    """
    target = target.resolve()
    command = python("engine.export", str(run.path.resolve()), str(target))
    command += ["--format", form, *([] if rank is None else ["--rank", str(rank)])]
    command += [*([] if numbers is None else ["--type", numbers]), *(["--measure"] if measure else [])]
    with relayed(sys.stdout) as out, relayed(sys.stderr) as err:
        child = subprocess.Popen(command, env=environment(), stdout=out, stderr=err)
        with passing_on(child):
            status = child.wait()
    if status in (0, BAD_INPUT, STOPPED):
        return status
    shutil.rmtree(temporary_path(target, child.pid), ignore_errors=True)
    hint = "; most likely the memory did not suffice" if status == -signal.SIGKILL else ""
    print(
        f"{clean(str(target))}: the export died ({how_it_died(status)}), and nothing was written{hint}", file=sys.stderr
    )
    return DIED


def serve(run: RunDir, stage: str | None, host: str, port: int, max_tokens: int | None) -> int:
    """Runs the engine's endpoint until a signal ends it, shows its output, and returns its exit status."""
    command = python("engine.serve", str(run.path.resolve()), "--host", host, "--port", str(port))
    command += [] if stage is None else ["--stage", stage]
    command += [] if max_tokens is None else ["--max-tokens", str(max_tokens)]
    with relayed(sys.stdout) as out, relayed(sys.stderr) as err:
        child = subprocess.Popen(command, env=environment(), stdout=out, stderr=err, start_new_session=True)
        with passing_on(child):
            status = child.wait()
    if status in (0, BAD_INPUT):
        return status
    print(f"the endpoint died ({how_it_died(status)})", file=sys.stderr)
    return DIED


@contextmanager
def passing_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Passes signals that end a program on to the child, which cleans up; this process waits for it."""
    heard = end_signals()
    before = {number: signal.signal(number, lambda number, _: child.send_signal(number)) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _clean_up_at_end() -> None:
    """Makes SIGTERM and a closed terminal end this process as Ctrl-C does: the child and its folder are removed.

    Signals that were already ignored, for example by `nohup`, stay ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def judge(run: RunDir, arguments: Sequence[str]) -> int:
    """Has a judge rate a run, shows what it says meanwhile on stderr, and returns its exit status."""
    with relayed(sys.stderr) as err:
        command = python("engine.judge", str(run.path.resolve()), *arguments)
        child = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        with passing_on(child):
            status = child.wait()
    if status not in (0, 1, BAD_INPUT, DIED, STOPPED):
        print(f"the judge died ({how_it_died(status)}); what it said is kept", file=sys.stderr)
        return DIED
    return status


def score(run: RunDir, file: Path) -> dict[str, Any]:
    """Scores the texts of a file with the scorer of a run.

    The engine prints the reason if it refuses the file. Raises InputError if it died without an answer.
    """
    return _scores([str(run.path.resolve()), str(file.resolve())], file)


def score_by_config(config: Path, topics: Sequence[str], overrides: Sequence[str], file: Path) -> dict[str, Any]:
    """Fits a scorer for a configuration in a temporary folder, and scores the texts of a file."""
    _clean_up_at_end()
    with tempfile.TemporaryDirectory(prefix="mindprint-score-") as scratch:
        run = RunDir(Path(scratch))
        run.config.write_text(dump_config(effective(config, topics, overrides)), encoding="utf-8")
        return _scores([scratch, str(file.resolve()), "--fit"], file)


def _scores(arguments: Sequence[str], file: Path) -> dict[str, Any]:
    _clean_up_at_end()
    with relayed(sys.stderr) as err:
        command, quiet = python("engine.score", *arguments), subprocess.DEVNULL
        done = subprocess.run(command, env=environment(), check=False, stdin=quiet, stdout=subprocess.PIPE, stderr=err)
    if done.returncode == STOPPED:
        raise KeyboardInterrupt
    if done.returncode == BAD_INPUT:
        raise SystemExit(BAD_INPUT)  # the engine has already printed the reason on stderr
    try:
        found: dict[str, Any] = clean_event(json.loads(done.stdout))
    except ValueError as error:
        raise InputError(
            f"{file}: the scoring died ({how_it_died(done.returncode)}) before it had an answer"
        ) from error
    return found


def how_it_died(status: int) -> str:
    """Returns how a child died, from its status as subprocess reports it."""
    return f"signal {-status}" if status < 0 else f"status {status}"


def check(config: Path, topics: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Runs the engine's preflight check in a temporary folder and returns its report.

    The report's `problems` are the reasons why a run would be pointless. Raises InputError if the configuration cannot
    be read or the engine died without a report.
    """
    _clean_up_at_end()
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
            f"{config}: the preflight died ({how_it_died(done.returncode)}) before it had a report{hint}"
        ) from error
    return report
