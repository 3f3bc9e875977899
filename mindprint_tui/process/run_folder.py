"""Prepares a run's folder for its engine, and removes it if the engine refuses the run."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import InputError, Unwritable
from engine.contract.journal.refusal import has_begun, refused
from engine.contract.journal.store import records, whole_lines
from engine.contract.names import run_name
from engine.contract.run_folder import folder as run_folder
from engine.contract.run_folder import lock
from engine.contract.run_folder.files import write_file
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings import notify
from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import dump_config, load_config

DEFAULT = "configs/demo.yaml"
START = 3.0  # seconds from the creation of a run's folder until its engine has surely taken the lock
EARLY = ("config.yaml", "engine.lock", "engine.out", "journal.jsonl", "training.log")  # exist before the first event


def shipped_configs() -> Path:
    """Returns the folder of the shipped configurations: inside the package in a wheel, next to it in a clone."""
    package = Path(__file__).parents[1]
    folders = (package / "configs", package.parent / "configs")
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def find_config(path: Path) -> Path:
    """Returns the file, or the shipped configuration of that name (`configs/demo.yaml`)."""
    if path.exists() or path.parent not in (Path("configs"), Path()):
        return path
    shipped = shipped_configs() / path.name
    return shipped if shipped.exists() else path


def list_configs() -> list[Path]:
    """Returns the YAML files of configs/ and of the current folder, then the shipped ones.

    A file in configs/ hides a shipped file of the same name.
    """
    own = [path for folder in (Path("configs"), Path()) for path in sorted(folder.glob("*.yaml")) if path.is_file()]
    hidden = {path.name for path in own if path.parent == Path("configs")}
    return own + [path for path in sorted(shipped_configs().glob("*.yaml")) if path.name not in hidden]


def prepare(config: Path, topics: Sequence[str], overrides: Sequence[str], logs: Path, run_id: str | None) -> RunDir:
    """Creates the run folder with the effective configuration in it.

    Raises InputError if that fails, and then leaves nothing behind.
    """
    settings = effective(config, topics, overrides)
    notify.effective(settings.run.notify)  # a mistake in the person's notify.yaml is named before the run begins
    name = run_id or run_folder.fresh_name(settings.run.name, logs, time.time())
    _remove_unbegun(RunDir(logs / run_name(name)))
    run = run_folder.create(logs, name)
    try:
        write_file(run.config, dump_config(settings).encode())
        run.config.chmod(0o600)
    except OSError as error:
        discard(run)
        why = error.reason if isinstance(error, Unwritable) else error.strerror
        raise InputError(f"{run.config}: the run cannot be written ({why})") from error
    return run


def find_to_resume(logs: Path, name: str) -> RunDir:
    """Returns the run of that name. A run that was killed before its first event has no journal yet, and can begin."""
    run = RunDir(logs / run_name(name))
    return run if run.config.is_file() and not os.path.lexists(run.journal) else run_folder.find(logs, name)


def _remove_unbegun(run: RunDir) -> None:
    """Removes the folder of a run that was killed before its first event, so that it can be begun under its name.

    An engine that starts just now has START seconds to take the lock.
    """
    if _unbegun(run):
        age = time.time() - run.path.stat().st_ctime
        time.sleep(min(START, max(0.0, START - age)))
        if _unbegun(run):
            shutil.rmtree(run.path, ignore_errors=True)


def _unbegun(run: RunDir) -> bool:
    """Tells whether a folder has nothing but what a run makes before its first event, and no engine works on it."""
    try:
        names = {path.name for path in run.path.iterdir()} if not run.path.is_symlink() else {""}
        early = all(name in EARLY or name.startswith((".reserve", ".config.yaml.")) for name in names)
        return early and not whole_lines(run.journal) and lock.holder(run) is None
    except OSError:
        return False


def effective(config: Path, topics: Sequence[str], overrides: Sequence[str]) -> RunConfig:
    """Returns the configuration with the options of the command line applied."""
    chosen = [f"curriculum.topics={json.dumps(list(topics))}"] if topics else []
    return load_config(find_config(config), (*overrides, *chosen))


def discard(run: RunDir) -> None:
    """Removes the folder of a refused run, unless training had begun in it or an engine runs on it."""
    kept = has_begun(records(run.journal)) or any(run.adapters.glob("*")) or run.checkpoint.exists()
    if not kept and lock.holder(run) is None:
        shutil.rmtree(run.path, ignore_errors=True)


def discard_refused(run: RunDir) -> None:
    """Removes the folder of a run if its engine refused it."""
    if refused(records(run.journal)):
        discard(run)
