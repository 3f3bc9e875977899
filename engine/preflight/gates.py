"""Whether the gates can be reached at all (rules 20 and 21): references and rejected answers, scored as answers are."""

from collections.abc import Sequence
from typing import Any

from engine.contract.settings.config import DpoConfig, RunConfig, ThresholdsConfig
from engine.data.curriculum import Curriculum
from engine.data.voice_profile import VoiceProfile
from engine.evaluation import voice_score

ADAPTER = ("rank", "alpha", "modules", "layers")  # settings of a phase that say what its adapter is


def unreachable(curriculum: Curriculum, limits: ThresholdsConfig) -> list[str]:
    """A sentence for each topic whose own references fail the voice threshold, or whose rejected answers pass it."""
    found = []
    for topic in curriculum.topics:
        references = mean_voice(curriculum, [question.reference for question in topic.questions])
        if references is not None and references < limits.voice:
            found.append(
                f"{topic.id}: the references themselves score voice {references:.2f}, below thresholds.voice = "
                f"{limits.voice:g}: no answer could be asked to do better"
            )
        rejected = mean_voice(curriculum, [pair.rejected for pair in (*topic.pairs, *topic.heldout)])
        if rejected is not None and rejected >= limits.voice > 0:
            found.append(
                f"{topic.id}: the rejected answers score voice {rejected:.2f}, which passes thresholds.voice = "
                f"{limits.voice:g}: the score cannot tell the voice from its opposite"
            )
    return found


def reference_warnings(curriculum: Curriculum, limits: ThresholdsConfig) -> list[str]:
    """Rule 20: a sentence for each way in which a quiz's references break the voice rules, with file and line."""
    broken: dict[str, list[str]] = {}
    for topic in curriculum.topics:
        for question in topic.questions:
            for fault in _faults(curriculum.profile, question.reference, limits):
                broken.setdefault(fault, []).append(question.where)
    return [f"{places[0]}: the reference {fault}{_and_more(places[1:])}" for fault, places in broken.items()]


def _faults(profile: VoiceProfile, reference: str, limits: ThresholdsConfig) -> list[str]:
    """What an answer in the reference's words would be marked down for; nothing where it would pass without a mark."""
    found = voice_score.score(profile, reference)
    if found.health != "ok":
        return [f"is no text that can be scored ({found.health})"]
    faults = [f"says {quote!r}, against the distinction {name!r}" for name, quote in found.quotes.items()]
    faults += [f"says {word!r}, which is to be avoided" for word in found.violations if word not in found.quotes]
    missing = [group.name for group in profile.groups if found.components[group.name] < 1]
    if missing and found.score < limits.voice and not found.quotes:
        names = ", ".join(missing)
        faults.append(f"is below thresholds.voice = {limits.voice:g}: too few markers of {names}")
    return faults


def _and_more(places: Sequence[str]) -> str:
    shown = ", ".join(places[:2]) + (", …" if len(places) > 2 else "")
    return f" (and {len(places)} more: {shown})" if places else ""


def gate_warnings(config: RunConfig) -> list[str]:
    """What thresholds and settings say about DPO when they are read together."""
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
    """Where the base model itself makes the gates say little; `topics` are rows of the preflight's report."""
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


def mean_voice(curriculum: Curriculum, texts: Sequence[str]) -> float | None:
    """The mean voice of texts, scored as answers are; None where there are none."""
    scores = [voice_score.score(curriculum.profile, text).score for text in texts]
    return sum(scores) / len(scores) if scores else None
