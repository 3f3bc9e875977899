"""Puts a run's session together: data first, then models; and takes a run up again where it was."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from itertools import zip_longest

import mlx.core as mx

from engine.adapters import lora
from engine.adapters.ledger import Ledger
from engine.contract.errors import InputError
from engine.contract.journal.events import (
    AdapterChanged,
    CurriculumLoaded,
    EngineRestarted,
    Event,
    Failed,
    ModelLoaded,
    Preparing,
    Restored,
    RunStarted,
)
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.files import settle
from engine.contract.run_folder.folder import RunDir
from engine.contract.schema import several
from engine.contract.settings.config import AdaptersConfig, DpoConfig, RunConfig, SftConfig
from engine.data.chat_template import Renderer
from engine.data.curriculum import Curriculum, load_curriculum
from engine.data.leaks import find_leaks
from engine.model import loading
from engine.model.backend import Backend
from engine.model.sentence_embedder import load_embedder
from engine.preflight.forecast import may_prefer
from engine.preflight.gates import gate_warnings, reference_warnings, unreachable
from engine.rules.enforce import require
from engine.runtime import out_of_memory
from engine.runtime.control import Control, Stop
from engine.runtime.history import History
from engine.runtime.recorder import Recorder
from engine.training import checkpoint, phase
from engine.training.dpo_reference import WITNESS
from engine.training.losses import Scorer
from engine.training.session import Session

PROBE = "The lamp is lit at dusk, and somebody has to stay awake with it until the morning."
SHOWN_WARNINGS = 20
TRAINED: dict[str, Iterable[str]] = {  # settings that decide what is trained; of base and rows, what they hold does
    "run": ("seed",),
    "model": ("dtype", "max_length"),
    "curriculum": ("heldout_share", "quiz_share"),
    "sft": [item.name for item in dataclasses.fields(SftConfig)],
    "dpo": [item.name for item in dataclasses.fields(DpoConfig)],
    "adapters": [item.name for item in dataclasses.fields(AdaptersConfig)],
}
GOES_ON = "a run goes on as it began"
PACKAGES = ("mindprint-tui", "mlx", "mlx-lm", "transformers")


def run_started(folder: RunDir, config: RunConfig) -> RunStarted:
    """The first event of a run."""
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    settings = dataclasses.asdict(config)
    return RunStarted(folder.name, config.run.name, config.run.seed, os.getpid(), versions, settings)


def read_curriculum(config: RunConfig) -> Curriculum:
    """The curriculum of a run; raises InputError for what cannot be trained on, leaks and closed gates included."""
    curriculum = load(config)
    if problems := pointless(curriculum, config):
        more = f" ({len(problems) - 1} more: mindprint-tui check lists them)" if len(problems) > 1 else ""
        raise InputError(problems[0] + more)
    return curriculum


def load(config: RunConfig) -> Curriculum:
    """The curriculum with every row used or reported; raises InputError for rows that cannot be read or are missing."""
    return load_curriculum(config.curriculum, needs_pairs=may_prefer(config))


def pointless(curriculum: Curriculum, config: RunConfig) -> list[str]:
    """What makes a run pointless before it begins, a sentence each: leaks, and gates that nothing can pass."""
    found = list(find_leaks(curriculum.topics))
    if config.thresholds.unreachable == "error":
        advice = "lower it, or set thresholds.unreachable: warn if it is meant"
        found += [f"{sentence}; {advice}" for sentence in unreachable(curriculum, config.thresholds)]
    return found


def warn_early(recorder: Recorder, backend: Backend, curriculum: Curriculum, config: RunConfig) -> None:
    """Journals what is off before anything is trained."""
    if backend.warning:
        recorder.warn("slow-blas", backend.warning)
    limits = config.thresholds
    messages = [*unreachable(curriculum, limits), *gate_warnings(config), *reference_warnings(curriculum, limits)]
    messages += curriculum.warnings
    for message in messages[:SHOWN_WARNINGS]:
        recorder.warn("curriculum", message)
    if len(messages) > SHOWN_WARNINGS:
        recorder.warn("curriculum", f"{len(messages) - SHOWN_WARNINGS} more; mindprint-tui check lists them all")


def open_session(
    folder: RunDir, recorder: Recorder, backend: Backend, config: RunConfig, curriculum: Curriculum, history: History
) -> Session:
    """Loads base model and embedder; raises InputError where they cannot be had or lack what the config asks for."""

    def say(message: str) -> None:
        recorder.say(Preparing(message))

    began = time.monotonic()
    path = loading.locate(config.model.name, say, history.revisions.get(config.model.name))
    say(f"loading {config.model.name}")
    dtype = backend.dtype if config.model.dtype == "auto" else config.model.dtype
    loaded = loading.load(path, dtype)
    if not history.began and (warning := loading.mixed(loaded.model, getattr(mx, dtype))):
        recorder.warn("number-type", warning)
    renderer = Renderer(loaded.tokenizer, history.started)
    probe = mx.array([renderer.text_ids(PROBE)])
    for section, settings in (("sft", config.sft), ("dpo", config.dpo)):
        lora.requested_modules(loaded.model, phase.spec_of(settings))
        if not history.began and settings.layers > (there := len(loaded.model.layers)):
            raise InputError(f"{section}.layers: found {settings.layers}, but the model has {there}; 0 is all of them")
    ledger = Ledger(loaded.model, path, getattr(mx, dtype))
    parameters, revision = loading.parameter_count(loaded.model), loading.revision_of(path)
    seconds, found = time.monotonic() - began, ledger.declared
    recorder.say(ModelLoaded(config.model.name, parameters, dtype, backend.device, found, seconds, revision))
    embedder = load_embedder(say)
    infos, rows = tuple(topic.info for topic in curriculum.topics), curriculum.digests
    recorder.say(CurriculumLoaded(infos, curriculum.warnings, rows))
    folder.adapters.mkdir(mode=0o700, exist_ok=True)
    control = Control(folder, recorder, list(rows), history.answered)
    control.listen()
    session = Session(
        config=config,
        run=folder,
        recorder=recorder,
        control=control,
        curriculum=curriculum,
        renderer=renderer,
        ledger=ledger,
        scorer=Scorer(loaded.model, probe),
        embedder=embedder,
        probe=probe,
        parameters=parameters,
        pieces=pieces_after(recorder, config, history.out_of_memory),
        dpo_rolled_back=history.dpo_rolled_back,
    )
    if not history.began and (more := phase.growth_ahead(session)):
        recorder.warn(
            "dequantized",
            f"the base is quantized, and a module that is trained stays in {dtype} once its phase is committed: with "
            f"all of them the model takes {more / 1e9:.2g} GB more than it does now",
        )
    return session


def pieces_after(recorder: Recorder, config: RunConfig, deaths: int) -> int:
    """In how many pieces micro-batches are worked on after so many deaths for lack of memory; says so."""
    pieces = out_of_memory.pieces(deaths, config)
    if pieces > 1:
        recorder.warn(
            "out-of-memory",
            f"the engine ran out of memory: micro-batches (sft.batch {config.sft.batch}, dpo.batch {config.dpo.batch}, "
            f"evaluation.batch {config.evaluation.batch}) are worked on in {pieces} pieces, down to single rows; each "
            "optimizer step sees the same rows as before, and its sums are rounded a little differently",
        )
    return pieces


def restarted(config: RunConfig, history: History) -> EngineRestarted:
    """The first event of an engine that goes on with a run: after which death, none where a person resumes it.

    Its settings may be others than the run began with, where they decide nothing of what is trained.
    """
    died, settings = history.died, dataclasses.asdict(config)
    how = (died.status, died.signal, died.attempt) if died else (None, None, 1)
    return EngineRestarted(*how, settings=settings)


def require_same_settings(config: RunConfig, history: History) -> None:
    """Raises InputError where a setting that decides what is trained is not what the run began with."""
    now = json.loads(json.dumps(dataclasses.asdict(config)))
    for section, names in TRAINED.items():
        for name in names:
            found = now[section][name]
            was = history.settings.get(section, {}).get(name, found)
            if found != was:
                raise InputError(
                    f"config.yaml: {section}.{name}: found {found!r}, but the run began with {was!r}; "
                    f"{GOES_ON}: put it back, or start a new one"
                )


def require_same_rows(config: RunConfig, curriculum: Curriculum, history: History) -> None:
    """Raises InputError that names the first topic which is not what the run began with, wherever its rows lie now."""
    if not history.rows:
        return
    for was, found in zip_longest(history.rows.items(), curriculum.digests.items()):
        if was != found:
            raise InputError(
                f"{config.curriculum.path}: topic {(found or was)[0]}: its rows, or its place in the course, are not "
                f"what the run began with; {GOES_ON}: put them back, or start a new one"
            )


def take_up(session: Session, history: History) -> None:
    """Goes on with a run: replays the ledger, rewinds to the checkpoint, and says so."""
    recorder = session.recorder
    base = session.ledger.declared
    same = history.base in (None, base)
    require("ledger-declares", same, f"the base model is {base}, the run began on {history.base}")
    for folder in (session.run.path, session.run.adapters):
        settle(folder)
    if (session.run.adapters / "ledger.json").exists():
        session.ledger.replay(session.run.adapters)
    current = history.current
    if current is not None and session.ledger.forget(current, history.topics[current].settled):
        session.ledger.save(session.run.adapters)
    _require_journaled(session, history)
    for topic in history.finished:
        session.control.status[topic] = "finished"
    for topic in history.retries:
        session.control.status[topic] = "pending"
        session.control.retries.append(topic)
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
        boundary = max(done.seq, _last_ended(session.run))  # the steps of a phase that has ended stay good
        recorder.say(Restored(boundary, f"{current} goes on from its last boundary"), durable=True)


def _require_journaled(session: Session, history: History) -> None:
    """Rules 29 and 8: the ledger has every delta that is in the journal, and makes the model that is there.

    It may have more: that a retry takes deltas out is journaled first.
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


def ask_again(session: Session, history: History) -> None:
    """What a person had asked of the engine that died holds for this one: a stop ends the run, a pause goes on."""
    if history.died is not None and history.stopping:
        raise Stop("a person, before the engine died")
    if history.died is not None and history.paused is not None:
        session.control.hold(history.paused)


def _load_checkpoint(session: Session) -> checkpoint.Checkpoint | None:
    """The checkpoint; one that cannot be gone on from costs the steps of its phase, and no more."""
    problem = "of an older engine, without what DPO is compared with after its last step"
    try:
        saved = checkpoint.load(session.run.checkpoint)
        if saved is None or saved.phase != "dpo" or WITNESS in saved.reference:
            return saved
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        problem = f"cannot be read ({error})"
    session.recorder.warn("checkpoint", f"the checkpoint is {problem}; its phase begins again")
    return None


def _last_ended(run: RunDir) -> int:
    """Where the journal last says that a phase was committed or rolled back, or that it failed."""
    return max((record.seq for record in read_journal(run.journal) if _ends_phase(record.event)), default=-1)


def _ends_phase(event: Event) -> bool:
    if isinstance(event, AdapterChanged):
        return event.state != "attached"
    return isinstance(event, Failed) and event.phase is not None


def reload(session: Session) -> None:
    """Makes the model anew from the base on disk and the ledger, where the one in memory cannot be trusted.

    That one is let go first, whoever still holds a part of it: memory need not have room for two.
    """
    declared = session.ledger.declared
    for module in session.model.modules():
        module.clear()
    mx.clear_cache()
    fresh = loading.load(session.ledger.base, str(session.ledger.dtype).rpartition(".")[2])
    session.ledger.restore(fresh.model, session.ledger.deltas)
    found = session.ledger.declared
    require("ledger-declares", found == declared, f"made anew, the model is {found}; the ledger declared {declared}")
    session.scorer = Scorer(fresh.model, session.probe)
