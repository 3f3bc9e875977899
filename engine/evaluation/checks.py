"""Whether scores come from answers, one to each question, greedy and scored one by one: rules 16, 20, 25 and 26."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import mlx.core as mx

from engine.adapters import lora
from engine.contract.journal.events import Evaluated, Sample
from engine.data.curriculum import Topic
from engine.evaluation import voice_score
from engine.rules.enforce import CHECKS, require
from engine.training.session import Session

if TYPE_CHECKING:
    from engine.evaluation.evaluate import Answer

NEAR = {mx.float32: 0.05, mx.float16: 0.5, mx.bfloat16: 1.0}  # between logits that may change places by rounding


@CHECKS.timed()
def check_answers(
    session: Session, prompts: Sequence[Sequence[int]], firsts: Sequence[int], answers: Sequence["Answer"], limit: int
) -> None:
    """Rule 26: answered greedily, and cut at `limit` tokens exactly where it says `length`.

    Greedy is looked at in the first token said to the shortest prompt, against the logits of a plain forward pass.
    """
    for answer in answers:
        as_counted = (answer.stop == "length") == (answer.tokens == limit) and answer.tokens <= limit
        found = f"an answer of {answer.tokens} tokens says stop: {answer.stop}; the limit is {limit}"
        require("stop-as-counted", as_counted, found)
    prompt, first = min(zip(prompts, firsts, strict=True), key=lambda asked: len(asked[0]))
    logits = session.scorer.next_logits(mx.array([list(prompt)]))[0]
    short = (logits.max() - logits[first]).item()
    near = NEAR.get(session.ledger.dtype, 1.0)
    require("stop-as-counted", short <= near, f"the first token is {short:.2f} less likely (logits) than the likeliest")


@CHECKS.timed()
def check_scores(session: Session, samples: Sequence[Sample], found: Evaluated) -> None:
    """Rule 20: the voice is the mean of what each answer scores by itself; an empty answer scores nothing."""
    profile, special = session.curriculum.profile, session.renderer.special_tokens
    each = [voice_score.score(profile, sample.answer, special).score for sample in samples]
    mean = sum(each) / len(each)
    same = math.isclose(found.voice, mean, abs_tol=1e-9)
    require("scored-per-answer", same, f"voice is {found.voice:.4f}, its answers' own scores have a mean of {mean:.4f}")
    empty = [sample.scores["voice"] for sample in samples if not sample.answer.strip()]
    require("scored-per-answer", not any(empty), f"an empty answer has the voice {max(empty, default=0)}")


@CHECKS.timed()
def scored_model(session: Session) -> str:
    """The fingerprint of what answers: the declared weights, and the adapter on them with its scales."""
    weights = lora.adapter_weights(session.model)
    scales = {path: str(module.scale) for path, module in lora.adapter_modules(session.model).items()}
    return lora.fingerprint(session.ledger.digests | lora.digests_of(weights) | scales)


@CHECKS.timed()
def require_measured(session: Session, topics: Sequence[Topic], found: Mapping[str, Evaluated], journaled: int) -> None:
    """Rules 16 and 25 of whole evaluations; `journaled` is how many answers the journal took meanwhile."""
    now = scored_model(session)
    for topic in topics:
        item, asked = found[topic.id], len(topic.questions)
        require("score-is-measured", item.questions == asked, f"{item.questions} of {asked} questions were answered")
        for name in ("accuracy", "voice", "combined"):
            value = getattr(item, name)
            require("score-is-measured", 0 <= value <= 1 + 1e-6, f"{name} of {topic.id} is {value}")
        require(
            "score-is-measured", item.model_fingerprint == now, f"scored was {item.model_fingerprint}, this is {now}"
        )
    scored = sum(item.questions for item in found.values())
    require("answers-journaled", journaled >= scored, f"{scored} answers were scored, {journaled} are in the journal")
