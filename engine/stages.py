"""The model as a run had it at a committed stage: the base, or the base and the first deltas of its ledger."""

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx

from engine import models
from engine.backend import Backend
from engine.contract.config import RunConfig, load_config
from engine.contract.errors import InputError
from engine.contract.journal import read_journal
from engine.contract.rundir import RunDir
from engine.deltas import UNREADABLE, Delta
from engine.history import read_history
from engine.invariants import Broken
from engine.ledger import Ledger, load_deltas, read_ledger
from engine.models import Loaded

BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Opened:
    """A run's model at a stage; `ledger.deltas` are the ones in it, `started` is when the run began (unix seconds)."""

    config: RunConfig
    loaded: Loaded
    ledger: Ledger
    started: float | None


def open_stage(run: RunDir, stage: str | None, backend: Backend, say: Callable[[str], None]) -> Opened:
    """Loads base and deltas: of the whole run (None), none of them (`before`), or up to a topic's last one.

    Raises InputError where nothing has been committed, or nothing of that topic, and where it cannot be read.
    """
    config = load_config(run.config)
    whole = [] if stage == BEFORE else _committed(run)
    if stage is None and not whole:
        raise InputError(f"{run.path}: nothing has been committed in this run; the base model is all there is")
    deltas = whole
    if stage not in (None, BEFORE):
        places = [place for place, delta in enumerate(deltas) if delta.topic == stage]
        if not places:
            known = ", ".join(dict.fromkeys(delta.topic for delta in deltas)) or "none"
            raise InputError(f"{run.path}: nothing of {stage} has been committed; topics that have: {known}")
        deltas = deltas[: places[-1] + 1]
    dtype = backend.dtype if config.model.dtype == "auto" else config.model.dtype
    history = read_history(read_journal(run.journal))
    path = models.locate(config.model.name, say, history.revisions.get(config.model.name))
    loaded = models.load(path, dtype)
    ledger = Ledger(loaded.model, path, getattr(mx, dtype))
    if deltas and len(deltas) == len(whole):
        _replay(run, ledger)
    elif deltas:
        ledger.restore(loaded.model, deltas)
    return Opened(config, loaded, ledger, history.started)


def _replay(run: RunDir, ledger: Ledger) -> None:
    """The whole ledger, which says how the model must come out: another base, device or library makes another one."""
    try:
        ledger.replay(run.adapters)
    except Broken as error:
        raise InputError(f"{run.path}: {error}; take the base model and the machine that it was trained on") from error


def _committed(run: RunDir) -> list[Delta]:
    """The run's deltas, in order; none where nothing has been committed."""
    if not (run.adapters / "ledger.json").exists():
        return []
    try:
        return load_deltas(run.adapters, read_ledger(run.adapters))
    except UNREADABLE as error:
        raise InputError(f"{run.adapters}: what was committed cannot be read: {error!r}") from error
