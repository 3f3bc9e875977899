"""Loads a run's model at a committed stage: the base model, or the base with the deltas of that stage."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from engine.adapters.deltas import UNREADABLE, Delta
from engine.adapters.ledger import Ledger, load_deltas, read_ledger
from engine.contract.errors import InputError
from engine.contract.journal.live import live_records
from engine.contract.names import delta_name
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig, load_config
from engine.contract.vocabulary import BASE
from engine.contract.wording import unreadable_lines
from engine.model import loading
from engine.model.backend import Backend
from engine.model.loading import LoadedModel
from engine.runtime.history import History, commits, read_history

PUT_BACK = "put the file back from a copy"
SAME = (
    "take the base model and the machine that it was trained on, and the versions that run_started in its journal has"
)


@dataclass(frozen=True, slots=True)
class CommittedModel:
    """A run's model at a stage; `ledger.deltas` are its deltas, `started` is the start of the run in Unix seconds."""

    config: RunConfig
    loaded: LoadedModel
    ledger: Ledger
    started: float | None


def open_stage(run: RunDir, stage: str | None, backend: Backend, say: Callable[[str], None]) -> CommittedModel:
    """Loads the base and the deltas of a stage.

    `stage` is None for all deltas of the run, `before` for none of them, or a topic for the deltas that the model had
    after that topic's last commit.

    Raises InputError if the run or the topic has committed nothing, or if the deltas cannot be read. Also raises it if
    base and deltas give a different model than in the run, because of a different base, device or library.
    """
    config = load_config(run.config)
    history = read_history(live_records(run.journal))  # before the ledger, which a running engine writes first
    if history.damaged:
        say(f"{run.path}: {unreadable_lines(history.damaged)}")
    deltas, declared = ([], "") if stage == BASE else _committed(run, stage, history)
    dtype = backend.dtype if config.model.dtype == "auto" else config.model.dtype
    path = loading.locate(config.model.name, say, history.revisions.get(config.model.name))
    loaded = loading.load(path, dtype)
    ledger = Ledger(loaded.model, path, getattr(mx, dtype))
    if history.base not in (None, ledger.declared):
        raise InputError(f"{run.path}: the base model is {ledger.declared}, the run began on {history.base}; {SAME}")
    if deltas:
        try:
            ledger.restore(loaded.model, deltas)
        except (ValueError, KeyError) as error:
            raise InputError(f"{run.path}: what was committed does not fit the base model; {SAME}") from error
        if ledger.declared != declared:
            raise InputError(f"{run.path}: the deltas give model {ledger.declared}, the run had {declared}; {SAME}")
    return CommittedModel(config, loaded, ledger, history.started)


def _committed(run: RunDir, stage: str | None, history: History) -> tuple[list[Delta], str]:
    """Returns the deltas of a stage in order, and the fingerprint that the run recorded for the model with them."""
    try:
        found = read_ledger(run.adapters) if (run.adapters / "ledger.json").exists() else {"deltas": []}
        if stage is None:
            _require_journaled(run, [row["name"] for row in found["deltas"]], found.get("fingerprint"), history)
        else:
            found = _as_it_stood(run, found, stage)
        if not found["deltas"]:
            raise InputError(f"{run.path}: nothing has been committed in this run; the base model is all there is")
        return load_deltas(run.adapters, found), found["fingerprint"]
    except UNREADABLE as error:
        raise InputError(f"{run.adapters}: what was committed cannot be read: {error!r}") from error


def _require_journaled(run: RunDir, names: list[str], declared: str | None, history: History) -> None:
    """Raises InputError if ledger.json is not that of the journal: a delta is missing, or the model is another one.

    The ledger may have more deltas, since it is written first. A damaged journal proves nothing.
    """
    if history.damaged:
        return
    found = {(_topic(name), name.rpartition("-")[2]) for name in names}
    file = run.adapters / "ledger.json"
    if missing := sorted(" ".join(delta) for delta in history.committed - found):
        raise InputError(f"{file}: {missing[0]} is missing, which the journal has as committed; {PUT_BACK}")
    if names and found == history.committed and history.model not in (None, declared):
        raise InputError(f"{file}: found model {declared}, the journal has {history.model}; {PUT_BACK}")


def _as_it_stood(run: RunDir, listed: dict[str, Any], topic: str) -> dict[str, Any]:
    """Returns the content of ledger.json as it was after the topic's last commit.

    The journal gives it, since a retry may have changed ledger.json later.
    """
    known = dict.fromkeys(_topic(row["name"]) for row in listed["deltas"])
    if topic not in known:
        names = ", ".join(known) or "none"
        raise InputError(f"{run.path}: nothing of {topic} has been committed; topics that have: {names}")
    then = commits((record.event for record in live_records(run.journal)), topic)
    if not then or not all((run.adapters / name).is_dir() for name in then):
        raise InputError(f"{run.journal}: of what was committed up to {topic} a line is damaged or missing")
    *_, last = then.values()
    rows = [{"name": delta_name(name), "fused": event.state == "fused"} for name, event in then.items()]
    return {"deltas": rows, "fingerprint": last.model_fingerprint}


def _topic(name: str) -> str:
    """Returns the topic of the delta with this name."""
    return name.partition("-")[2].rpartition("-")[0].replace(".", "/")
