"""Resumes a run: checks that nothing has changed, replays the ledger, finds the checkpoint."""

import dataclasses
import json
from collections.abc import Iterable
from itertools import zip_longest
from typing import get_type_hints

from engine.adapters.deltas import UNREADABLE
from engine.contract.errors import InputError
from engine.contract.journal.events import (
    AdapterChanged,
    Audited,
    EngineRestarted,
    Event,
    Failed,
    Restored,
)
from engine.contract.journal.store import identity, records
from engine.contract.run_folder.files import recover_folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import AdaptersConfig, FoundationConfig, RunConfig
from engine.contract.settings.load import journaled
from engine.contract.vocabulary import PHASES, PREFERENCE
from engine.contract.wording import several, short
from engine.data.curriculum import Curriculum
from engine.rules.enforce import require
from engine.runtime.control import Stop
from engine.runtime.history import History
from engine.training import checkpoint
from engine.training.phases import settle
from engine.training.phases.dpo_reference import WITNESS
from engine.training.session import Session

TRAINED: dict[str, Iterable[str]] = {  # settings that affect training; base and rows are compared by their contents
    "run": ("seed",),
    "model": ("dtype", "max_length"),
    "curriculum": ("heldout_share", "quiz_share"),
    "foundation": [item.name for item in dataclasses.fields(FoundationConfig)],
    **{phase: [item.name for item in dataclasses.fields(get_type_hints(RunConfig)[phase])] for phase in PHASES},
    "adapters": [item.name for item in dataclasses.fields(AdaptersConfig)],
}

OLDER = {"foundation": {"epochs": 0}}  # settings of a run that is older than the section

GOES_ON = "a run goes on as it began"


def restarted(config: RunConfig, history: History) -> EngineRestarted:
    """Returns the first event of an engine that resumes a run.

    It names the death of the previous engine, if there was one; after a resume by the user there is none. Settings that
    do not affect training may have changed since the run began.
    """
    died = history.died
    how = (died.status, died.signal, died.attempt) if died else (None, None, 1)
    return EngineRestarted(*how, settings=journaled(config))


def require_same_settings(config: RunConfig, history: History) -> None:
    """Raises InputError if a setting that affects training has changed since the run began."""
    now = json.loads(json.dumps(dataclasses.asdict(config)))
    for section, names in TRAINED.items():
        for name in names:
            found = now[section][name]
            was = history.settings.get(section, OLDER.get(section, {})).get(name, found)
            if found != was:
                raise InputError(
                    f"config.yaml: {section}.{name}: found {short(found)}, but the run began with {short(was)}; "
                    f"{GOES_ON}: put it back, or start a new one"
                )


def require_same_rows(config: RunConfig, curriculum: Curriculum, history: History) -> None:
    """Raises InputError with the first topic that has changed since the run began. The rows may be in other files."""
    if not history.rows:
        return
    for was, found in zip_longest(history.rows.items(), curriculum.digests.items()):
        if was != found:
            raise InputError(
                f"{config.curriculum.path}: topic {(found or was)[0]}: its rows, or its place in the course, are not "
                f"what the run began with; {GOES_ON}: put them back, or start a new one"
            )


def require_same_tokens(session: Session, rendered: str) -> None:
    """Raises InputError if rows and questions are now rendered to different tokens than when the run began.

    `rendered` is the digest of the tokens now. The event `audited` in the journal has the digest from the beginning.
    """
    events = (record.event for record in records(session.run.journal))
    began_with = {event.rendered for event in events if isinstance(event, Audited)} - {""}
    if began_with - {rendered}:
        raise InputError(
            f"model.name: {session.config.model.name}: rows and questions are not rendered to the tokens that the "
            "run began with: its chat template, its tokenizer or the version of transformers is another one; "
            f"{GOES_ON}: put it back, or start a new one"
        )


def restore_state(session: Session, history: History) -> None:
    """Restores the state of a run: replays the ledger, finds the checkpoint, and journals where the run continues."""
    recorder = session.recorder
    base = session.ledger.declared
    same = history.base in (None, base)
    require("ledger-declares", same, f"the base model is {base}, the run began on {history.base}")
    for folder in (session.run.path, session.run.adapters, session.run.rolled_back):
        if folder.exists():
            recover_folder(folder)
    session.set_aside.prune(session.run)
    if (session.run.adapters / "ledger.json").exists():
        session.ledger.replay(session.run.adapters)
    current = history.current
    if current is not None and session.ledger.forget(current, history.topics[current].settled):
        session.ledger.save(session.run.adapters)
    for topic, _ in history.keeps:
        if session.ledger.forget(topic, {part for id, part in history.committed if id == topic}):
            session.ledger.save(session.run.adapters)
    _require_journaled(session, history)
    _drop_dropped(session, history)
    for topic in history.finished:
        session.control.status[topic] = "finished"
    for topic in history.retries:
        session.control.status[topic] = "pending"
        session.control.retries.append(topic)
    session.control.keeps += history.keeps
    session.control.owed = history.again
    session.control.skipped |= dict.fromkeys(history.skipped, "a person, before the restart")
    saved = _load_checkpoint(session)
    if current is None:
        recorder.say(Restored(recorder.seq, "the run goes on between two topics"), durable=True)
        return
    done = history.topics[current]
    ended = done.failed is not None or (saved is not None and saved.phase in done.settled)
    if saved and (saved.topic, saved.attempt) == (current, done.attempt) and not ended:
        session.resume = saved
        why = f"{current} goes on at {saved.phase} step {saved.step} from its checkpoint"
        recorder.say(Restored(min(saved.seq, recorder.seq), why), durable=True)
    else:
        boundary = max(done.seq, _last_ended(session.run))  # steps of a finished phase stay valid
        recorder.say(Restored(boundary, f"{current} goes on from its last boundary"), durable=True)


def _require_journaled(session: Session, history: History) -> None:
    """Checks rules 29 and 8: the ledger has every committed delta of the journal and gives the same model.

    The ledger may have more deltas, because a retry journals the removal of deltas before it changes the ledger.
    """
    found, declared = {(delta.topic, delta.phase) for delta in session.ledger.deltas}, session.ledger.declared
    missing = sorted(" ".join(delta) for delta in history.committed - found)
    require(
        "committed-on-disk",
        not missing,
        f"{session.run.adapters} lacks {len(missing)} of the {several(len(history.committed), 'delta')} that the "
        f"journal has as committed, among them {', '.join(missing[:2])}",
    )
    same = found > history.committed or history.model in (None, declared)
    require("ledger-declares", same, f"the ledger gives model {declared}, the journal has {history.model}")


def _drop_dropped(session: Session, history: History) -> None:
    """Finishes a removal of deltas that was interrupted when the engine died.

    The journal has such a delta as rolled back, but the ledger still has it. Raises Broken if the ledger has a delta
    that the journal does not mention.
    """
    more = {(delta.topic, delta.phase) for delta in session.ledger.deltas} - history.committed
    for topic, part in sorted(more):
        known = topic in history.topics and history.topics[topic].settled.get(part) == "rolled_back"
        require("ledger-declares", known, f"the ledger has {topic} {part}, the journal does not have it as committed")
    for topic in sorted({topic for topic, _ in more}):
        settle.drop(session, topic)


def apply_requests(session: Session, history: History) -> None:
    """Applies the user's requests to the engine that died: a stop ends the run, and a pause continues."""
    if history.died is not None and history.stopping:
        raise Stop("a person, before the engine died")
    if history.died is not None and history.paused is not None:
        session.control.hold(history.paused)


def _load_checkpoint(session: Session) -> checkpoint.Checkpoint | None:
    """Returns the checkpoint, or None with a warning if it cannot be used. Then only its phase starts again."""
    problem = "of an older engine, without what DPO is compared with after its last step"
    try:
        saved = checkpoint.load(session.run.checkpoint)
        if saved is not None and saved.run not in ("", identity(session.run.journal)):
            problem = "of another run"
        elif saved is None or saved.phase not in PREFERENCE or WITNESS in saved.reference:
            return saved
    except UNREADABLE as error:
        problem = f"cannot be read ({error})"
    session.recorder.warn("checkpoint", f"the checkpoint is {problem}; its phase begins again")
    return None


def _last_ended(run: RunDir) -> int:
    """Returns the sequence number of the last event that ended a phase (commit, roll-back or failure), or -1."""
    return max((record.seq for record in records(run.journal) if _ends_phase(record.event)), default=-1)


def _ends_phase(event: Event) -> bool:
    if isinstance(event, AdapterChanged):
        return event.state != "attached"
    return isinstance(event, Failed) and event.phase is not None
