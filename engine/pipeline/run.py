"""Main sequence of a run: load, score the base model, train each topic, write the summary.

A resumed run takes the same path.
"""

import json
import time
from typing import Any, Literal

from engine.adapters import fingerprint, lora
from engine.adapters.ledger import require_ledger
from engine.contract.errors import Unwritable
from engine.contract.exit_codes import STOPPED
from engine.contract.journal.events import Decided, Preparing, RunFinished, Verdict
from engine.contract.journal.live import live_records
from engine.contract.journal.store import records
from engine.contract.run_folder.files import write_file
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from engine.contract.vocabulary import BASE, FOUNDATION, REEVALUATED, Phase, is_success
from engine.contract.wording import several, unreadable_lines
from engine.data.topic import Topic
from engine.evaluation import evaluate
from engine.evaluation.score.storage import load_scorer
from engine.model.backend import Backend, process_bytes
from engine.pipeline import decisions, keep
from engine.pipeline.exam import hold_exam, require_examined
from engine.pipeline.resumable import damaged_lines, require_beginning, require_known_topics, require_own_folders
from engine.pipeline.resume import (
    apply_requests,
    require_same_rows,
    require_same_settings,
    require_same_tokens,
    restarted,
    restore_state,
)
from engine.pipeline.setup import open_session, read_curriculum, reload, run_started, warn_early
from engine.pipeline.topic import finish, train_topic
from engine.preflight.prediction import DurationPredictor
from engine.rules.enforce import CHECKS, failure, require
from engine.runtime.control import Skip, Stop
from engine.runtime.heartbeat import Heartbeat
from engine.runtime.history import History, TopicHistory, read_history
from engine.runtime.out_of_memory import exhausted
from engine.runtime.recorder import Recorder
from engine.runtime.score_log import read_scores
from engine.runtime.summary import summarize
from engine.training.phases import adapter_events, settle
from engine.training.session import Session


def train(
    folder: RunDir, recorder: Recorder, backend: Backend, heartbeat: Heartbeat | None = None, unheard: int = 0
) -> int:
    """Trains the run in `folder` to its end, or resumes it. Returns the exit status.

    `unheard` is the size of commands.jsonl when the lock was taken; earlier commands were written while no engine ran.
    Raises InputError, before anything has started, if configuration or data cannot be used for training.
    """
    started, heartbeat = time.monotonic(), heartbeat or Heartbeat()
    heartbeat.beat()
    CHECKS.take(None, None, texts=False)  # clears counts if this process trained another run before
    config = load_config(folder.config)
    require_own_folders(folder)
    damaged = damaged_lines(folder)
    require_beginning(folder, records(folder.journal))
    history = read_history(live_records(folder.journal))
    with heartbeat.beating():
        curriculum = read_curriculum(config)
    if history.began:
        require_same_settings(config, history)
        require_same_rows(config, curriculum, history)
        require_known_topics(folder, records(folder.journal), curriculum.digests)
        if folder.scores.exists():
            load_scorer(folder.scores)  # else a damaged scorer would fail each topic alone
        recorder.say(restarted(config, history))
        if damaged:
            lines = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
            recorder.warn("journal", f"{unreadable_lines(len(damaged))} ({lines})")
    else:
        history.started = round(recorder.say(run_started(folder, config)).t, 3)  # same value as a resumed run reads
        warn_early(recorder, backend, curriculum, config)
    with heartbeat.beating():
        session, audits = open_session(folder, recorder, backend, config, curriculum, history)
    session.scored = read_scores(live_records(folder.journal))
    session.control.reevaluate = lambda topic: _reevaluate(session, topic)
    session.control.unheard = unheard
    outlook = DurationPredictor(session, audits, started - history.seconds)
    require_same_tokens(session, outlook.rendered)
    session.control.beat = heartbeat.beat
    stopped = False
    try:
        if history.began:
            folder.summary.unlink(missing_ok=True)  # it describes an earlier end of the run
            restore_state(session, history)
            apply_requests(session, history)
        require_ledger(folder.adapters, session.ledger)
        _score_base(session, history)
        outlook.at_start(history.before)
        _train_all(session, history, outlook)
    except Stop as stop:
        stopped = True
        recorder.warn("stopped", f"{stop}; --resume {folder.name} goes on from here")
    session.control.close()
    return _sum_up(session, history.seconds + time.monotonic() - started, stopped)


def _sum_up(session: Session, seconds: float, stopped: bool) -> int:
    """Writes summary.json and the last event. Returns the exit status.

    A run succeeds if every topic passed, was skipped or is undecided, there is at least one topic, and the final exam
    found none of them forgotten.
    """
    journal = session.run.journal
    history = read_history(live_records(journal))
    if not stopped:
        require_examined(session, history)
    verdicts = {id: end.verdict for id, end in history.finished.items()}
    kept = history.examined is not None and not history.examined.forgotten
    whole = len(verdicts) == len(session.curriculum.trained)
    good = kept and whole and all(is_success(*pair) for pair in verdicts.items())
    status = STOPPED if stopped else 0 if good else 1
    declared = session.ledger.declared
    require_ledger(session.run.adapters, session.ledger, records(journal))
    data = summarize(live_records(journal), status, declared, seconds, process_bytes())
    _check_success(data, status)
    write_file(session.run.summary, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
    took, spent = data["prediction"], data["overhead"]
    event = RunFinished(
        data["passed"], data["of"], status, declared, seconds,
        checkpoint_seconds=spent["checkpoint_seconds"], check_seconds=spent["check_seconds"],
        predicted_seconds=took["of_what_ran"], paused_seconds=took["paused"], process_bytes=took["process_bytes"],
    )  # fmt: skip
    adapter_events.say_rules(session, None)
    session.recorder.say(event, durable=True)
    return status


def _check_success(summary: dict[str, Any], status: int) -> None:
    """Checks rule 17: status 0 requires at least one topic in the summary, none that failed and none forgotten."""
    rows = [*summary["topics"], *filter(None, [summary["foundation"]])]
    missed = [row for row in rows if not is_success(row["topic"], row["verdict"])]
    lost = summary["exam"]["forgotten"] if summary["exam"] else []
    earned = bool(summary["topics"]) and not missed and not lost
    require(
        "success-is-earned",
        status != 0 or earned,
        f"the run would end with status 0, but {len(missed)} of {len(rows)} topics did not pass"
        + (f", and {len(lost)} were forgotten" if lost else ""),
    )


def _score_base(session: Session, history: History) -> None:
    """Evaluates the stage `before`: the untrained model answers the questions of all topics in one batch."""
    missing = [topic for topic in session.curriculum.trained if topic.id not in history.before]
    if missing:
        count = sum(topic.id != FOUNDATION for topic in missing)
        doing = f"scoring the base model on {several(count, 'topic')}"
        session.recorder.say(Preparing(doing))
        history.before |= evaluate.measure(session, missing, BASE, doing=doing)


def _train_all(session: Session, history: History, outlook: DurationPredictor) -> None:
    """Trains every topic in curriculum order, then those that the user wants to retry; each with its retries.

    Between two topics, keeps the rolled-back phases that a person asked for. Then holds the final exam. A retry or a
    keep that is asked for meanwhile is done, and the exam is repeated.
    """
    control = session.control
    topics = {topic.id: topic for topic in session.curriculum.trained}
    while True:
        control.boundary()
        if control.keeps and history.current is None:
            topic, part = control.keeps[0]
            _keep(session, topics[topic], part)
            control.keeps.pop(0)
            history.final = {}
            continue
        if control.upcoming() is None:
            hold_exam(session, history)
            if control.keeps:
                continue
        if (id := control.upcoming()) is None:
            return
        _train(session, history, topics[id])
        history.final = {}  # as every reader of the journal takes it, even if the model is the same after all
        if control.owed is None and id != FOUNDATION:
            outlook.after_topic()


def _train(session: Session, history: History, topic: Topic) -> None:
    """Trains one attempt at a topic, journals its verdict, and pauses if run.pause_on asks for it."""
    control = session.control
    goes_on = history.current == topic.id
    done = history.topics[topic.id] if goes_on else _next_attempt(session, history, topic)
    history.topics[topic.id], history.current = done, None
    started = time.monotonic() - done.seconds
    control.begin(topic.id)
    session.collapsed = False
    verdict, reason = _attempt(session, history, topic, done)
    adapter_events.say_rules(session, topic.id)
    session.resume = None  # if the topic was skipped, its checkpoint is no longer needed
    retries = 0 if topic.id == FOUNDATION else session.config.run.retries
    again = decisions.retry(verdict, done.tries, retries)
    if again is not None:  # journaled before the topic is finished: if the engine dies in between, no retry is lost
        session.recorder.say(Decided(topic.id, again.decision, again.reason), durable=True)
    pauses = decisions.pause_reason(verdict, session.collapsed) in session.config.run.pause_on
    if pauses:  # journaled before the topic is finished, for the same reason
        control.hold("run.pause_on")
    finish(session, topic, verdict, reason, started)
    control.end(topic.id, again is not None)
    if pauses:
        control.boundary()


def _keep(session: Session, topic: Topic, part: Phase) -> None:
    """Keeps a rolled-back phase and scores its topic again. A failure is journaled; before the commit, nothing changes.

    A death between commit and verdict leaves only the scoring to the next engine.
    """
    started = time.monotonic()
    committed = any((delta.topic, delta.phase) == (topic.id, part) for delta in session.ledger.deltas)
    try:
        if not committed:
            keep.commit_rolled_back(session, topic, part)
            committed = True
        keep.score_kept(session, topic, part, started)
    except Stop:
        raise
    except Exception as error:
        if exhausted(error) or isinstance(error, Unwritable):
            raise
        reason = _say_failed(session, topic.id, error, None if committed else part)
        _clean_up(session, "detached")
        if committed:
            keep.say_kept(session, topic, part, "error", reason, started)
    session.set_aside.prune(session.run)
    adapter_events.say_rules(session, topic.id)


def _attempt(session: Session, history: History, topic: Topic, done: TopicHistory) -> tuple[Verdict, str]:
    """Trains one attempt. Returns the verdict and the reason.

    An exception ends the topic. It is journaled with its traceback, and the model is restored to the ledger's state.
    """
    by = session.control.skipped.pop(topic.id, None)
    if by is not None:
        return "skipped", f"skipped by {by}" + ("" if done.seq else " before it began")
    if done.failed is not None:  # the attempt failed, and the engine died before it journaled the verdict
        return "error", done.failed
    begun, steps = bool(done.settled) or session.resume is not None, session.recorder.said["step"]
    try:
        verdict = train_topic(session, topic, history.before[topic.id], done)
        trained = begun or session.recorder.said["step"] > steps
        require("attempt-has-steps", trained, f"attempt {done.attempt} has a verdict and no step in the journal")
        return verdict
    except Skip as skip:
        _clean_up(session, "detached")
        return "skipped", str(skip)
    except Stop:
        raise
    except Exception as error:
        if exhausted(error) or isinstance(error, Unwritable):
            raise  # a problem of the engine, not of the topic; the next engine continues, with smaller batches
        reason = _say_failed(session, topic.id, error)
        _clean_up(session, "rolled_back")
        return "error", reason


def _clean_up(session: Session, state: Literal["detached", "rolled_back"]) -> None:
    """Detaches the adapter of an interrupted phase. Reloads the model if it does not match the ledger afterwards."""
    attached, whole = session.attached, True
    if attached is not None:
        try:
            settle.roll_back(session, attached, state)
        except Exception as error:  # noqa: BLE001 - journaled with its traceback
            _say_failed(session, attached.topic, error)
            whole = False
    session.attached = None
    whole = whole and not lora.adapter_modules(session.model)
    if not whole or fingerprint.frozen_digests(session.model) != session.ledger.digests:
        reload(session)
        session.recorder.warn("reloaded", "the model in memory was damaged; it was rebuilt from base and ledger")


def _say_failed(session: Session, topic: str, error: Exception, part: Phase | None = None) -> str:
    """Journals the error that ended a topic, in phase `part` or in that of the adapter. Returns its message."""
    part = part or (session.attached.phase if session.attached else None)
    event = failure(f"{topic} {part}" if part else topic, error, topic, part)
    session.recorder.say(event, durable=True)
    return event.message


def _next_attempt(session: Session, history: History, topic: Topic) -> TopicHistory:
    """Prepares the next attempt: removes the deltas of earlier attempts from the model."""
    settle.drop(session, topic.id)
    earlier = history.topics.get(topic.id)
    if earlier is None:
        return TopicHistory(1)
    return TopicHistory(earlier.attempt + 1, tries=earlier.tries + 1 if session.control.owed == topic.id else 1)


def _reevaluate(session: Session, topic: str) -> str:
    """Evaluates a topic with the current model. Returns the scores and a description of the model's state."""
    wanted = next(item for item in session.curriculum.trained if item.id == topic)
    found = evaluate.measure(session, [wanted], REEVALUATED)[topic]
    attached = session.attached
    state = f"{len(session.ledger.deltas)} committed deltas"
    if attached is not None:
        state += f" and the adapter of {attached.topic} {attached.phase} after {attached.step} steps"
    return f"voice {found.voice:.2f}, accuracy {found.accuracy:.2f} with {state}"
