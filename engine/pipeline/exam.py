"""The final exam: the model that a run leaves answers the held-out questions of every topic.

A verdict says how a topic did at its own end. The exam says what is left of it after all other topics.
"""

import math
from collections.abc import Mapping

from engine.contract.intervals import Estimate
from engine.contract.journal.events import Evaluated, Examined, Preparing
from engine.contract.journal.live import live_records
from engine.contract.vocabulary import FINAL
from engine.contract.wording import several
from engine.evaluation import checks, estimates, evaluate
from engine.pipeline import decisions
from engine.rules.enforce import require
from engine.runtime.history import History, read_history
from engine.training.session import Session


def hold_exam(session: Session, history: History) -> None:
    """Scores every topic that the present model has not answered at the stage `final`, in one batch.

    Answers that an earlier engine journaled count if they are of the same model. If a person requests no retry
    or keep during the exam, its result is journaled.
    """
    session.scored.keep_final(model := checks.scored_model(session))
    history.final = {id: found for id, found in history.final.items() if found.model_fingerprint == model}
    missing = [topic for topic in session.curriculum.topics if topic.id not in history.final]
    if missing:
        doing = f"final exam: {several(len(missing), 'topic')} answered by the final model"
        session.recorder.say(Preparing(doing))
        history.final |= evaluate.measure(session, missing, FINAL, doing=doing)
    session.control.boundary()
    if session.control.upcoming() is None and not session.control.keeps:
        session.recorder.say(_result(session, history.final), durable=True)


def _result(session: Session, final: Mapping[str, Evaluated]) -> Examined:
    verdicts = read_history(live_records(session.run.journal)).finished
    limits, ends = session.config.thresholds, {delta.topic: delta.phase for delta in session.ledger.deltas}
    compared = {topic: phase for topic, phase in ends.items() if topic in final}
    changes = estimates.changes_since(session.scored, compared)
    return Examined(
        topics=len(final),
        answers=changes["voice"].n if "voice" in changes else 0,
        compared=len(compared),
        changes={name: _ends(change) for name, change in changes.items()},
        forgotten=tuple(
            topic
            for topic, found in final.items()
            if topic in verdicts and decisions.forgotten(verdicts[topic].verdict, found, limits)
        ),
        fingerprint=session.ledger.declared,
    )


def _ends(change: Estimate) -> tuple[float, float | None, float | None]:
    """Returns the mean and the ends of its interval, None if no spread is known."""
    known = math.isfinite(change.low)
    return change.mean, change.low if known else None, change.high if known else None


def require_examined(session: Session, history: History) -> None:
    """Checks that every topic has a final score of the model that the run leaves, and that the result says so."""
    model, examined = session.ledger.declared, history.examined
    topics = [topic.id for topic in session.curriculum.topics]
    missed = [id for id in topics if id not in history.final or history.final[id].model_fingerprint != model]
    require(
        "final-model-examined",
        not missed and examined is not None and examined.fingerprint == model,
        f"{len(missed)} of {len(topics)} topics have no final score of the model {model}",
    )
