"""Loads a run's model at a stage: the base, with the deltas of that stage, or with a rolled-back adapter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from engine.adapters import lora
from engine.adapters.deltas import UNREADABLE, Delta, load_delta
from engine.adapters.ledger import Ledger
from engine.adapters.ledger_file import load_deltas, read_ledger
from engine.contract.errors import InputError
from engine.contract.journal.events import AdapterChanged
from engine.contract.journal.live import live_records
from engine.contract.names import delta_name, split_stage
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import load_config
from engine.contract.vocabulary import BASE, Phase
from engine.contract.wording import unreadable_lines
from engine.data.templates.chat_template import Renderer
from engine.model import loading
from engine.model.backend import Backend
from engine.model.loading import LoadedModel
from engine.runtime.history import History, commits, read_history
from engine.runtime.set_aside import SetAside

PUT_BACK = "put the file back from a copy"
SAME = (
    "take the base model and the machine that it was trained on, and the versions that run_started in its journal has"
)


@dataclass(frozen=True, slots=True)
class CommittedModel:
    """A run's model at a stage; `ledger.deltas` are its deltas, `started` is the start of the run in Unix seconds.

    `rolled_back` is the adapter attached on top of it: that of a phase which was rolled back.
    """

    config: RunConfig
    loaded: LoadedModel
    ledger: Ledger
    started: float | None
    rolled_back: Delta | None = None


def open_stage(run: RunDir, stage: str | None, backend: Backend, say: Callable[[str], None]) -> CommittedModel:
    """Loads the base and the deltas of a stage.

    `stage` is None for all deltas of the run, `before` for none of them, or a topic for the deltas that the model had
    after that topic's last commit. `TOPIC:sft` and `TOPIC:dpo` are the model as it was after that phase. If the phase
    was rolled back, its adapter is attached, as long as it is set aside in the run's folder.

    Raises InputError if the run or the topic has committed nothing, or if the deltas cannot be read. Also raises it if
    base and deltas give a different model than in the run, because of a different base, device or library.
    """
    config = load_config(run.config)
    aside = _set_aside(run, stage)
    history = read_history(live_records(run.journal))  # before the ledger, which a running engine writes first
    if history.damaged:
        say(f"{run.path}: {unreadable_lines(history.damaged)}")
    deltas, declared = ([], "") if stage == BASE else _committed(run, stage, aside, history)
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
    if aside is None:
        return CommittedModel(config, loaded, ledger, history.started)
    adapter = load_rolled_back(run, aside)
    try:
        lora.attach(loaded.model, adapter.spec, 0)  # the seed does not matter, the weights are replaced
        lora.load_weights(loaded.model, adapter.weights)
    except (ValueError, KeyError) as error:
        raise InputError(f"{run.path}: the rolled-back adapter does not fit the base model; {SAME}") from error
    loaded.model.eval()
    return CommittedModel(config, loaded, ledger, history.started, adapter)


def renderer_of(opened: CommittedModel) -> Renderer:
    """Returns the renderer of an opened run, with the day and the template of that run."""
    settings = opened.config.model
    return Renderer(opened.loaded.tokenizer, opened.started, settings.chat_template, settings.eos_token)


def load_rolled_back(run: RunDir, event: AdapterChanged) -> Delta:
    """Reads an adapter that was set aside. Raises InputError if it is not the one that was rolled back."""
    folder = run.rolled_back / delta_name(event.set_aside)
    try:
        delta = load_delta(folder, fused=True)
    except UNREADABLE as error:
        raise InputError(f"{folder}: the rolled-back adapter cannot be read: {error!r}") from error
    if delta.digest() != event.digest:
        raise InputError(f"{folder}: the arrays are not those of the adapter that was rolled back")
    return delta


def _events(run: RunDir) -> list[AdapterChanged]:
    events = (record.event for record in live_records(run.journal))
    return [event for event in events if isinstance(event, AdapterChanged)]


def _set_aside(run: RunDir, stage: str | None) -> AdapterChanged | None:
    """Returns the event of the rolled-back adapter that `stage` names; None if it names none."""
    topic, phase = split_stage(stage or "")
    return SetAside(_events(run)).find(topic, phase) if phase else None


def _committed(
    run: RunDir, stage: str | None, aside: AdapterChanged | None, history: History
) -> tuple[list[Delta], str]:
    """Returns the deltas of a stage in order, and the fingerprint that the run recorded for the model with them.

    `aside` is the roll-back of the stage, if it is one of a phase that was rolled back.
    """
    try:
        found = read_ledger(run.adapters) if (run.adapters / "ledger.json").exists() else {"deltas": []}
        if aside is not None:
            events = _events(run)
            found = _listed(run, commits(events[: events.index(aside)]), aside)
        elif stage is None:
            _require_journaled(run, [row["name"] for row in found["deltas"]], found.get("fingerprint"), history)
        else:
            found = _as_it_stood(run, found, *split_stage(stage))
        if not found["deltas"] and aside is None:
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
        raise InputError(f"{file}: {missing[0]} is missing, but the journal has it as committed; {PUT_BACK}")
    if names and found == history.committed and history.model not in (None, declared):
        raise InputError(f"{file}: found model {declared}, the journal has {history.model}; {PUT_BACK}")


def _as_it_stood(run: RunDir, listed: dict[str, Any], topic: str, phase: Phase | None) -> dict[str, Any]:
    """Returns the content of ledger.json as it was after the topic's last commit, or after that of `phase`.

    The journal gives it, since a retry may have changed ledger.json later.
    """
    known = dict.fromkeys(_topic(row["name"]) for row in listed["deltas"])
    if topic not in known:
        names, lost = ", ".join(known) or "none", SetAside(_events(run)).listed
        raise InputError(
            f"{run.path}: nothing of {topic} is committed; committed topics: {names}; rolled back and set "
            f"aside are: {lost}"
        )
    then = commits(_events(run), topic, phase)
    if not then:
        if phase is None:
            raise InputError(f"{run.journal}: a line about the commits up to {topic} is damaged or missing")
        what = f"no {phase} of {topic} is in the model, and none is set aside"
        raise InputError(f"{run.path}: {what}; set aside are: {SetAside(_events(run)).listed}")
    *_, last = then.values()
    return _listed(run, then, last)


def _listed(run: RunDir, then: dict[str, AdapterChanged], last: AdapterChanged) -> dict[str, Any]:
    """Returns the content of ledger.json with these commits; `last` has the fingerprint of the model with them."""
    if not all((run.adapters / name).is_dir() for name in then):
        raise InputError(f"{run.journal}: a line about the commits up to {last.topic} is damaged or missing")
    rows = [{"name": delta_name(name), "fused": event.state == "fused"} for name, event in then.items()]
    return {"deltas": rows, "fingerprint": last.model_fingerprint}


def _topic(name: str) -> str:
    """Returns the topic of the delta with this name."""
    return name.partition("-")[2].rpartition("-")[0].replace(".", "/")
