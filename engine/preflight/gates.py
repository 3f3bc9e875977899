"""Checks that the gates can be reached (rules 20 and 21), by scoring references and rejected answers."""

from collections.abc import Sequence
from typing import Any

from engine.contract.settings.config import DpoConfig, RunConfig, ThresholdsConfig
from engine.data.curriculum import Curriculum
from engine.data.topic import Topic
from engine.evaluation.score.parts.health import measure_health
from engine.evaluation.score.profile_claims import Claims, find_violations
from engine.evaluation.score.scorer import Answer, Scorer, Tools, score_answers
from engine.evaluation.scoring import FOR_GATES, claims_of, fit_texts, texts_of

ADAPTER = ("rank", "alpha", "modules", "layers")  # settings of a phase that define its adapter
FEW_QUESTIONS = 5  # with fewer questions in a topic, most verdicts are undecided


def scorer_of_rows(curriculum: Curriculum) -> Scorer | None:
    """Fits a scorer on the rows alone, before the base model has answered. Returns None if there are no pairs."""
    texts = texts_of(curriculum, [], FOR_GATES)
    return fit_texts(texts, Tools(), find_copies=False) if texts.pairs else None


def unreachable(curriculum: Curriculum, limits: ThresholdsConfig, scorer: Scorer | None) -> list[str]:
    """Returns a sentence for each topic with references that fail the voice threshold or rejected answers that pass."""
    if scorer is None or limits.voice == 0:
        return []
    why = f" ({scorer.style.advice})" if scorer.style.advice else ""
    found = []
    for topic in curriculum.topics:
        voice = voice_of_rows(curriculum, topic, scorer)
        references, rejected = voice["references"], voice["rejected"]
        if references is not None and references < limits.voice:
            found.append(
                f"{topic.id}: the references themselves score voice {references:.2f}, below thresholds.voice = "
                f"{limits.voice:g}: no answer could be asked to do better{why}"
            )
        if rejected is not None and rejected >= limits.voice:
            found.append(
                f"{topic.id}: the rejected answers score voice {rejected:.2f}, which passes thresholds.voice = "
                f"{limits.voice:g}: the score cannot tell the voice from its opposite{why}"
            )
    return found


def voice_of_rows(curriculum: Curriculum, topic: Topic, scorer: Scorer) -> dict[str, float | None]:
    """Returns the mean voice of a topic's references, chosen and rejected answers, scored out of fold.

    The mean is None for a group without texts.
    """
    pairs = (*topic.pairs, *topic.heldout)
    texts = {
        "references": [(item.question, item.reference) for item in topic.questions],
        "chosen": [("", pair.chosen) for pair in pairs],
        "rejected": [("", pair.rejected) for pair in pairs],
    }
    tools = Tools(claims=claims_of(curriculum.profile))
    found: dict[str, float | None] = {}
    for name, rows in texts.items():
        answers = [Answer(topic.id, question, text, training=True) for question, text in rows]
        scores = [score.voice for score in score_answers(scorer, answers, tools)]
        found[name] = sum(scores) / len(scores) if scores else None
    return found


def reference_warnings(curriculum: Curriculum) -> list[str]:
    """Checks rule 20: returns a sentence with file and line for each voice rule that quiz references break."""
    claims = claims_of(curriculum.profile)
    broken: dict[str, list[str]] = {}
    for topic in curriculum.topics:
        for question in topic.questions:
            for fault in _faults(claims, question.reference):
                broken.setdefault(fault, []).append(question.where)
    return [f"{places[0]}: the reference {fault}{_and_more(places[1:])}" for fault, places in broken.items()]


def _faults(claims: Claims, reference: str) -> list[str]:
    """Returns the reasons why an answer with the reference's text would lose points."""
    health = measure_health(reference)
    if not health.healthy:
        return [f"is no text that can be scored ({health.state})"]
    found = find_violations(claims, reference)
    faults = [f"says {quote!r}, against the distinction {name!r}" for name, quote in found.confused]
    return faults + [f"says {word!r}, which is to be avoided" for word in found.avoided]


def question_warnings(curriculum: Curriculum) -> list[str]:
    """Returns a sentence if topics have so few questions that most of their verdicts will be undecided."""
    few = [topic for topic in curriculum.topics if len(topic.questions) < FEW_QUESTIONS]
    if not few:
        return []
    return [
        f"{len(few)} of {len(curriculum.topics)} topics have fewer than {FEW_QUESTIONS} questions, {few[0].id} among "
        f"them ({len(few[0].questions)}): the interval of a mean is wide, and many verdicts will be undecided"
    ]


def _and_more(places: Sequence[str]) -> str:
    shown = ", ".join(places[:2]) + (", …" if len(places) > 2 else "")
    return f" (and {len(places)} more: {shown})" if places else ""


def gate_warnings(config: RunConfig) -> list[str]:
    """Returns warnings about thresholds and DPO settings that contradict each other."""
    limits, strategy = config.thresholds, config.adapters.strategy
    if strategy == "sft_only" or config.dpo.when == "never":
        return []
    found = []
    unheeded = [f"dpo.{name}" for name in ADAPTER if getattr(config.dpo, name) != getattr(DpoConfig(), name)]
    if strategy == "shared" and unheeded:
        names = ", ".join(unheeded)
        found.append(f"adapters.strategy = shared: {names} say nothing, since DPO goes on with SFT's adapter")
    if config.dpo.when != "gated":
        return found
    if limits.dpo_trigger == 0:
        return [*found, "thresholds.dpo_trigger = 0 and dpo.when = gated: no voice lies below it, so DPO never runs"]
    if limits.dpo_trigger < limits.voice:
        found.append(
            f"thresholds.dpo_trigger = {limits.dpo_trigger:g} is below thresholds.voice = {limits.voice:g}: a topic "
            "between the two does not pass, and DPO does not run for it"
        )
    return found


def base_warnings(topics: Sequence[dict[str, Any]], limits: ThresholdsConfig) -> list[str]:
    """Returns warnings if the base model already passes gates, or if its answers are not healthy.

    `topics` are rows of the preflight's report.
    """
    found = []
    passing = [t for t in topics if t["base"]["voice"] >= limits.voice and t["base"]["accuracy"] >= limits.accuracy]
    if passing:
        found.append(
            f"the base model passes {len(passing)} of {len(topics)} topics untrained, {passing[0]['topic']} among "
            "them: passing says nothing about training there"
        )
    sick = [topic for topic in topics if topic["base"]["health"] != "ok"]
    if sick:
        found.append(
            f"the base model's answers are not healthy in {len(sick)} of {len(topics)} topics "
            f"({sick[0]['base']['health']} in {sick[0]['topic']})"
        )
    return found
