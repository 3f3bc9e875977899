"""Creates a run's session: checks and loads the data first, then the models. Can reload the model."""

import os
import platform
import time
from importlib.metadata import version

import mlx.core as mx

from engine.adapters import lora
from engine.adapters.ledger import Ledger
from engine.contract.errors import InputError
from engine.contract.journal.events import (
    CurriculumLoaded,
    ModelLoaded,
    Preparing,
    RunStarted,
)
from engine.contract.run_folder.files import make_folder
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.config import RunConfig, adapter_settings, may_prefer
from engine.contract.settings.load import journaled
from engine.data.curriculum import Curriculum, load_curriculum, without
from engine.data.foundation import with_foundation
from engine.data.heldout.leaks import find_leaks
from engine.data.templates.chat_template import Renderer
from engine.data.unusable import counted
from engine.evaluation import spot_check
from engine.model import loading
from engine.model.backend import Backend
from engine.model.folder_faults import position_limit
from engine.model.logprobs import Scorer
from engine.model.sentence_embedder import load_embedder
from engine.preflight.gates import gate_warnings, reference_warnings, scorer_of_rows, unreachable
from engine.preflight.token_audit import TopicAudit, audit
from engine.rules.enforce import require
from engine.runtime import out_of_memory
from engine.runtime.control import Control
from engine.runtime.history import History
from engine.runtime.recorder import Recorder
from engine.training.phases import phase
from engine.training.session import Session

PROBE = "The lamp is lit at dusk, and somebody has to stay awake with it until the morning."
SHOWN_WARNINGS = 20
ADVICE = "lower it, or set thresholds.unreachable: warn if it is meant"
PACKAGES = ("mindprint-tui", "mlx", "mlx-lm", "transformers")


def run_started(folder: RunDir, config: RunConfig) -> RunStarted:
    """Returns the first event of a run."""
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return RunStarted(folder.name, config.run.name, config.run.seed, os.getpid(), versions, journaled(config))


def read_curriculum(config: RunConfig) -> Curriculum:
    """Returns the curriculum of a run.

    Raises InputError if it cannot be used for training, which includes leaks and gates that cannot be reached.
    """
    curriculum = load(config)
    if problems := reasons_not_to_run(curriculum, config):
        more = f" ({len(problems) - 1} more: mindprint-tui check lists them)" if len(problems) > 1 else ""
        raise InputError(problems[0] + more)
    return curriculum


def load(config: RunConfig) -> Curriculum:
    """Loads the curriculum; every row is used or reported. Raises InputError for unreadable or missing rows."""
    curriculum = load_curriculum(config.curriculum, needs_pairs=may_prefer(config))
    return with_foundation(curriculum, config.foundation.topics) if config.foundation.epochs else curriculum


def reasons_not_to_run(curriculum: Curriculum, config: RunConfig) -> list[str]:
    """Returns a sentence for each reason why the run would be pointless: leaks, and gates that nothing can pass."""
    found = list(find_leaks(curriculum.asked))
    if config.thresholds.unreachable == "error":
        found += [f"{sentence}; {ADVICE}" for sentence in gates_missed(curriculum, config)]
    return found


def gates_missed(curriculum: Curriculum, config: RunConfig) -> list[str]:
    """Checks rule 21 with the rows alone. Without rejected answers, it must wait for the base model's answers."""
    return unreachable(curriculum, config.thresholds, scorer_of_rows(curriculum))


def warn_early(recorder: Recorder, backend: Backend, curriculum: Curriculum, config: RunConfig) -> None:
    """Journals warnings about machine, curriculum and gates before anything is trained."""
    if backend.warning:
        recorder.warn("slow-blas", backend.warning)
    missed = gates_missed(curriculum, config) if config.thresholds.unreachable == "warn" else []
    messages = [*missed, *gate_warnings(config), *reference_warnings(curriculum)]
    messages += curriculum.warnings
    for message in messages[:SHOWN_WARNINGS]:
        recorder.warn("curriculum", message)
    if len(messages) > SHOWN_WARNINGS:
        recorder.warn("curriculum", f"{len(messages) - SHOWN_WARNINGS} more; mindprint-tui check lists them all")


def open_session(
    folder: RunDir, recorder: Recorder, backend: Backend, config: RunConfig, curriculum: Curriculum, history: History
) -> tuple[Session, list[TopicAudit]]:
    """Loads base model and embedder, and renders every row. Returns the session and the audit of its topics.

    Raises InputError if models are unavailable or do not fit the configuration, and UnusableRows if rows cannot be
    rendered. If curriculum.bad_rows is `report`, the session's curriculum is without these rows.
    """

    def say(message: str) -> None:
        recorder.say(Preparing(message))

    began = time.monotonic()
    path = loading.locate(config.model.name, say, history.revisions.get(config.model.name))
    say(f"loading {config.model.name}")
    dtype = backend.dtype if config.model.dtype == "auto" else config.model.dtype
    loaded = loading.load(path, dtype)
    if not history.began and (warning := loading.wider_type_warning(loaded.model, getattr(mx, dtype))):
        recorder.warn("number-type", warning)
    limit, learned = position_limit(loaded.config)
    if learned and config.model.max_length > limit:
        raise InputError(
            f"model.max_length: found {config.model.max_length}, but the model has {limit} positions (its config.json)"
        )
    renderer = Renderer(loaded.tokenizer, history.started, config.model.chat_template, config.model.eos_token)
    probe = mx.array([renderer.text_ids(PROBE)])
    for section, settings in adapter_settings(config).items():
        lora.requested_modules(loaded.model, phase.spec_of(settings))
        if not history.began and settings.layers > (there := len(loaded.model.layers)):
            raise InputError(f"{section}.layers: found {settings.layers}, but the model has {there}; 0 is all of them")
    ledger = Ledger(loaded.model, path, getattr(mx, dtype))
    parameters, revision = loading.parameter_count(loaded.model), loading.revision_of(path)
    seconds, found = time.monotonic() - began, ledger.declared
    recorder.say(ModelLoaded(config.model.name, parameters, dtype, backend.device, found, seconds, revision))
    rows = curriculum.digests  # before rows are left out: what a resumed run compares
    audits, left_out = audit(curriculum, renderer, config)
    if left_out:
        curriculum = without(curriculum, left_out, config.curriculum.bad_rows, may_prefer(config))
    _require_positions(recorder, audits, history, limit, learned, config)
    if curriculum.unusable and not history.began:
        recorder.warn("bad-rows", f"{counted(curriculum.unusable)}; they are left out")
    embedder = load_embedder(say)
    infos = tuple(topic.info for topic in curriculum.trained)
    recorder.say(CurriculumLoaded(infos, curriculum.warnings, rows))
    make_folder(folder.adapters)
    control = Control(folder, recorder, list(rows), history.answered)
    control.set_aside = history.set_aside
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
        base=Scorer(loading.share_weights(loaded.model, path), probe),
        embedder=embedder,
        probe=probe,
        parameters=parameters,
        pieces=pieces_after(recorder, config, history.out_of_memory),
        dpo_rolled_back=history.dpo_rolled_back,
        set_aside=history.set_aside,
        few_scores=spot_check.few_scores,
    )
    if not history.began and (more := phase.bytes_still_to_grow(session)):
        recorder.warn(
            "dequantized",
            f"the base is quantized, and a module that is trained stays in {dtype} once its phase is committed: with "
            f"all of them the model takes {more / 1e9:.2g} GB more than it does now",
        )
    return session, audits


def _require_positions(
    recorder: Recorder, audits: list[TopicAudit], history: History, limit: int, learned: bool, config: RunConfig
) -> None:
    """Warns of rows that are longer than the model was made for. Raises InputError if answers run out of positions."""
    longest, asked = (max(getattr(topic, name) for topic in audits) for name in ("longest", "longest_question"))
    needed = asked + config.evaluation.max_tokens
    if learned and needed > limit:
        raise InputError(
            f"evaluation.max_tokens: found {config.evaluation.max_tokens}, but the longest question has {asked} tokens "
            f"and the model {limit} positions (its config.json): {limit - asked} are left for an answer"
        )
    if limit and longest > limit and not history.began:
        recorder.warn("positions", f"rows of {longest} tokens: the model was made for {limit} (its config.json)")


def pieces_after(recorder: Recorder, config: RunConfig, deaths: int) -> int:
    """Returns the number of pieces per micro-batch after `deaths` deaths from lack of memory. Warns if it is not 1."""
    pieces = out_of_memory.pieces(deaths, config)
    if pieces > 1:
        recorder.warn(
            "out-of-memory",
            f"the engine ran out of memory: micro-batches (sft.batch {config.sft.batch}, dpo.batch {config.dpo.batch}, "
            f"evaluation.batch {config.evaluation.batch}) are worked on in {pieces} pieces, down to single rows; each "
            "optimizer step sees the same rows as before, and its sums are rounded a little differently",
        )
    return pieces


def reload(session: Session) -> None:
    """Reloads the model from the base on disk and the ledger, because the model in memory cannot be trusted.

    The old model's arrays are released first, even if other objects still refer to its modules. So memory need not hold
    two models.
    """
    declared = session.ledger.declared
    for module in (*session.model.modules(), *session.base.modules()):
        module.clear()
    mx.clear_cache()
    fresh = loading.load(session.ledger.base, str(session.ledger.dtype).rpartition(".")[2])
    session.base = Scorer(loading.share_weights(fresh.model, session.ledger.base), session.probe)
    session.scoring = None  # its tools refer to the base model that was released
    session.ledger.restore(fresh.model, session.ledger.deltas)
    found = session.ledger.declared
    require("ledger-declares", found == declared, f"made anew, the model is {found}; the ledger declared {declared}")
    session.scorer = Scorer(fresh.model, session.probe)
