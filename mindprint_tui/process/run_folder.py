"""Prepares a run's folder for its engine, and removes it if the engine refuses the run."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import InputError
from engine.contract.journal.refusal import has_begun, refused
from engine.contract.journal.store import records
from engine.contract.run_folder import folder as run_folder
from engine.contract.run_folder import lock
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig, dump_config, load_config

DEFAULT = "configs/demo.yaml"


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
    name = run_id or run_folder.fresh_name(settings.run.name, logs, time.time())
    run = run_folder.create(logs, name)
    try:
        run.config.write_text(dump_config(settings), encoding="utf-8")
        run.config.chmod(0o600)
    except OSError as error:
        discard(run)
        raise InputError(f"{run.config}: the run cannot be written ({error.strerror})") from error
    return run


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
