"""Checks that scores come from real, journaled answers of the declared model (rules 16, 20 and 25)."""

import math
from collections.abc import Mapping, Sequence

from engine.adapters import fingerprint, lora
from engine.contract.journal.events import Evaluated, Sample
from engine.contract.vocabulary import HEADLINES
from engine.data.topic import Topic
from engine.evaluation.scoring import Scoring
from engine.rules.enforce import CHECKS, require
from engine.training.session import Session


@CHECKS.timed()
def check_scores(scoring: Scoring, owners: Sequence[str], samples: Sequence[Sample], found: Evaluated) -> None:
    """Checks rule 20: the voice is the mean over the answers, and each answer's style is scored alone.

    An answer that is empty, not healthy or void must have a voice of 0. `owners` are the topics of the answers'
    questions.
    """
    each = [sample.scores["voice"] or 0.0 for sample in samples]
    mean = sum(each) / len(each)
    same = math.isclose(found.voice, mean, abs_tol=1e-9)
    require("scored-per-answer", same, f"voice is {found.voice:.4f}, its answers' own scores have a mean of {mean:.4f}")
    for owner, sample, voice in zip(owners, samples, each, strict=True):
        style, alone = sample.scores["style"] or 0.0, scoring.scorer.style.score(owner, sample.answer).value
        same = math.isclose(style, alone, abs_tol=1e-9)
        require("scored-per-answer", same, f"the style of an answer is {style:.4f}; scored alone it is {alone:.4f}")
        sound = bool(sample.answer.strip()) and sample.health == "ok" and sample.void is None
        kind = "an answer" if sound else "an answer that is empty, sick or void"
        most = style if sound else 0.0
        require(
            "scored-per-answer", voice <= most + 1e-9, f"{kind} has the voice {voice:.4f}; at most {most:.4f} it is"
        )


@CHECKS.timed()
def scored_model(session: Session) -> str:
    """Returns the fingerprint of the model that answers: declared weights, attached adapter and its scales."""
    weights = lora.adapter_weights(session.model)
    scales = {path: str(module.scale) for path, module in lora.adapter_modules(session.model).items()}
    return fingerprint.fingerprint(session.ledger.digests | fingerprint.digests_of(weights) | scales)


@CHECKS.timed()
def require_measured(session: Session, topics: Sequence[Topic], found: Mapping[str, Evaluated], journaled: int) -> None:
    """Checks rules 16 and 25 on finished evaluations. `journaled` counts their answers in the journal."""
    now = scored_model(session)
    for topic in topics:
        item, asked = found[topic.id], len(topic.questions)
        require("score-is-measured", item.questions == asked, f"{item.questions} of {asked} questions were answered")
        for name in (*HEADLINES, "style", "closeness"):
            value = getattr(item, name)
            unmeasured = name == "closeness" and value is None
            require("score-is-measured", unmeasured or 0 <= value <= 1 + 1e-6, f"{name} of {topic.id} is {value}")
        require(
            "score-is-measured", item.model_fingerprint == now, f"scored was {item.model_fingerprint}, this is {now}"
        )
    scored = sum(item.questions for item in found.values())
    require("answers-journaled", journaled >= scored, f"{scored} answers were scored, {journaled} are in the journal")
