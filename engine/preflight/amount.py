"""Warns if a topic is trained far more or far less than the topics on which the shipped recipes were found.

The amount of training is optimizer steps x learning rate: with AdamW each value moves by about the rate in a step.
SFT's steps grow with a topic's rows, so the same epochs and rate are more training for a topic with more rows. DPO's
steps do not grow.
"""

from collections.abc import Sequence

from engine.contract.settings.config import ModelConfig, RunConfig, may_prefer, phase_settings
from engine.contract.vocabulary import PHASES, Phase
from engine.data.batches import plan_epochs
from engine.data.curriculum import Curriculum, Topic

MEASURED = ModelConfig().name  # the base model on which the recipes were found
FOUND: dict[Phase, tuple[float, float]] = {  # least and most steps x rate of recipes that worked, docs/EXPERIMENTS.md
    "sft": (12 * 2e-3, 20 * 3e-3),  # demo.yaml and quick.yaml: eight rows a topic
    "dpo": (6 * 3e-4, 60 * 5e-5),
}
FAR = 2.0  # an amount is far from these if it is more than this many times outside
UNEVEN = 2.5  # topics are uneven if one takes more than this many times the steps of another


def amount_warnings(curriculum: Curriculum, config: RunConfig) -> list[str]:
    """Returns sentences with the numbers, for SFT and for DPO if it may run."""
    topics, found = curriculum.topics, []
    if config.model.name == MEASURED:
        phases: tuple[Phase, ...] = tuple(PHASES) if may_prefer(config) else ("sft",)
        found = [sentence for part in phases for sentence in _far(topics, config, part)]
    return found + _uneven(topics, config)


def steps_of(topic: Topic, config: RunConfig, part: Phase) -> int:
    """Returns the optimizer steps of a phase; 0 if the topic has nothing for it."""
    sft, dpo = config.sft, config.dpo
    if part == "sft":
        return plan_epochs(len(topic.sft), sft.batch, sft.accumulation, sft.epochs).steps if topic.sft else 0
    return dpo.steps if topic.pairs else 0


def _far(topics: Sequence[Topic], config: RunConfig, part: Phase) -> list[str]:
    rate, (least, most) = phase_settings(config)[part].learning_rate, FOUND[part]
    steps = {topic.id: steps_of(topic, config, part) for topic in topics}
    outside = {id: count for id, count in steps.items() if count and not least / FAR <= count * rate <= most * FAR}
    if not outside:
        return []
    id, count = max(outside.items(), key=lambda item: max(item[1] * rate / most, least / (item[1] * rate)))
    rows = next(len(topic.sft if part == "sft" else topic.pairs) for topic in topics if topic.id == id)
    what = f"{rows} rows, {config.sft.epochs} epochs" if part == "sft" else f"{rows} pairs, dpo.steps {count}"
    size, better = ("more", most) if count * rate > most else ("less", least)
    aim = max(1, round(better / rate))
    advice = f"about {aim} steps, or a rate of {better / count:.1g}, would be like them"
    numbers = f"{count} steps x rate {rate:g} = {count * rate:.2g}; the recipes have {least:.2g} to {most:.2g}"
    return [
        f"{len(outside)} of {len(topics)} topics are trained far {size} in {PHASES[part].label} than those on which "
        f"the recipes were found, {id} among them ({what}: {numbers}): {advice}"
    ]


def _uneven(topics: Sequence[Topic], config: RunConfig) -> list[str]:
    steps = sorted((steps_of(topic, config, "sft"), topic.id, len(topic.sft)) for topic in topics if topic.sft)
    if not steps or steps[-1][0] <= UNEVEN * steps[0][0]:
        return []
    (fewest, small, few), (most, large, many) = steps[0], steps[-1]
    return [
        f"one rate and {config.sft.epochs} epochs train topics unevenly: {large} has {many} rows and takes {most} "
        f"steps, {small} has {few} rows and takes {fewest}; divide large topics, or lower sft.epochs"
    ]
