"""Means and paired changes of a run's scores, with 90 % intervals.

Spreads are pooled over the topics evaluated so far.
"""

import math
from collections.abc import Mapping, Sequence

from engine.contract.intervals import Estimate, mean_estimate, paired_change, pooled_spread, share_spread
from engine.contract.journal.events import Sample
from engine.contract.vocabulary import BASE, FINAL, FOUNDATION
from engine.runtime.score_log import ScoreLog

MEANS = ("voice", "closeness", "relevance", "style", "accuracy")
SHARES = ("voice", "closeness", "style")  # never below 0 or above 1, and so are their intervals
CHANGES = ("combined", "voice", "closeness", "relevance", "loops")
EXAMINED = ("voice", "closeness")


def value(sample: Sample, name: str) -> float | None:
    """Returns one score of an answer. `combined` is the mean of voice and closeness; `loops` is 1 if it repeats."""
    if name == "loops":
        return float(sample.health == "repeating")
    if name == "combined":
        return combined(sample.scores.get("voice"), sample.scores.get("closeness"))
    return sample.scores.get(name)


def combined(voice: float | None, closeness: float | None) -> float | None:
    """Returns the mean of voice and closeness, or only the voice if closeness was not measured."""
    return voice if voice is None or closeness is None else (voice + closeness) / 2


def values(samples: Sequence[Sample], name: str) -> list[float]:
    """Returns the scores of the answers that have this score."""
    return [found for sample in samples if (found := value(sample, name)) is not None]


def mean(log: ScoreLog, stage: str, topic: str, samples: Sequence[Sample], name: str) -> Estimate | None:
    """Returns the mean over a topic's answers. The spread is pooled over all topics evaluated so far at this stage."""
    own = values(samples, name)
    if not own:
        return None
    others = [] if topic == FOUNDATION else log.topics(stage)  # the foundation's questions are all questions
    groups = {other: values(log.samples[stage, other], name) for other in others} | {topic: own}
    ordered = [groups[other] for other in sorted(groups)]
    return mean_estimate(own, share_spread(ordered) if name in SHARES else pooled_spread(ordered))


def intervals(log: ScoreLog, stage: str, topic: str, samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Returns the 90 % interval of each mean by name. A mean with unknown spread has no interval."""
    found = {name: mean(log, stage, topic, samples, name) for name in MEANS}
    ends = {name: (each.low, each.high) for name, each in found.items() if each and math.isfinite(each.low)}
    return {name: _bounded(*pair) if name in SHARES else pair for name, pair in ends.items()}


def _bounded(low: float, high: float) -> tuple[float, float]:
    return max(0.0, low), min(1.0, high)


def changes(log: ScoreLog, topic: str, first: str, last: str) -> dict[str, Estimate]:
    """Returns the change of each score between two stages, paired by question.

    A score that was not measured at both stages is left out. Relevance is measured with the base model, and to that
    model its own answers are the most likely. Any other voice would seem worse, so relevance is never compared with the
    stage of the base model.
    """
    found = {}
    for name in CHANGES:
        if name == "relevance" and first == BASE:
            continue
        groups = {
            other: _changed(log, other, first if other == topic else None, last, name)
            for other in ([topic] if topic == FOUNDATION else log.topics(last))
        }
        if own := groups.get(topic):
            zeros = [0.0] * len(own)
            found[name] = paired_change(zeros, own, pooled_spread([groups[other] for other in sorted(groups)]))
    return found


def changes_since(log: ScoreLog, ends: Mapping[str, str]) -> dict[str, Estimate]:
    """Returns the mean change of each score from the topics' own ends to the final exam, paired by question.

    `ends` is topic -> stage of its end. The spread is that of all changes, within topics and between them.
    """
    found = {}
    for name in EXAMINED:
        pairs = [pair for topic, stage in sorted(ends.items()) for pair in _pairs(log, topic, stage, FINAL, name)]
        if pairs:
            found[name] = paired_change([old for old, _ in pairs], [new for _, new in pairs])
    return found


def margin(log: ScoreLog, topic: str, beta: float) -> Estimate | None:
    """Returns the held-out DPO margin: beta times the growth of the chosen-rejected gap during DPO, paired."""
    groups = {}
    for other in log.topics("dpo"):
        before, after = (log.gaps.get((stage, other), ()) for stage in ("sft", "dpo"))
        if before and len(before) == len(after):
            groups[other] = [beta * (new - old) for old, new in zip(before, after, strict=True)]
    if topic not in groups:
        return None
    return mean_estimate(groups[topic], pooled_spread([groups[other] for other in sorted(groups)]))


def _changed(log: ScoreLog, topic: str, first: str | None, last: str, name: str) -> list[float]:
    """Returns the changes of one topic's answers. If `first` is None, they start at the stage before the last phase."""
    if first is None:
        first = "sft" if last == "dpo" else "start" if ("start", topic) in log.samples else "before"
    if name == "relevance" and first == BASE:
        return []
    return [new - old for old, new in _pairs(log, topic, first, last, name)]


def _pairs(log: ScoreLog, topic: str, first: str, last: str, name: str) -> list[tuple[float, float]]:
    """Returns the scores of one topic's answers at two stages, for the answers that have the score at both."""
    before, after = (log.samples.get((stage, topic), ()) for stage in (first, last))
    if len(before) != len(after):
        return []
    pairs = [(value(old, name), value(new, name)) for old, new in zip(before, after, strict=True)]
    return [(old, new) for old, new in pairs if old is not None and new is not None]
