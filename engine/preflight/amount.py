"""Warns if a phase is trained far more or far less than those on which the shipped recipes were found.

The amount of training is optimizer steps x learning rate: with AdamW each value moves by about the rate in a step.
SFT's steps grow with a topic's rows, so the same epochs and rate are more training for a topic with more rows. DPO's
steps do not grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.settings.config import ModelConfig, RunConfig, SupervisedConfig, may_prefer
from engine.contract.wording import several
from engine.data.batches import plan_epochs
from engine.data.curriculum import Curriculum
from engine.data.topic import Topic

MEASURED = ModelConfig().name  # the base model on which the recipes were found
FOUND = {  # least and most steps x rate of recipes that worked, docs/EXPERIMENTS.md
    "foundation": (56 * 5e-4, 224 * 5e-4),  # 56 rows (quick.yaml) and 224 rows (demo.yaml), 4 epochs
    "sft": (12 * 2e-3, 20 * 3e-3),  # eight rows a topic, 6 and 10 epochs, without a foundation
    "sft after it": (4 * 2e-4, 4 * 3e-4),  # eight rows a topic, 2 epochs, after a foundation
    "dpo": (6 * 1e-4, 60 * 5e-5),
}
FAR = 2.0  # an amount is far from these if it is more than this many times outside
UNEVEN = 2.5  # topics are uneven if one takes more than this many times the steps of another


@dataclass(frozen=True, slots=True)
class Amount:
    """The planned steps of one phase of a topic; `rows` describes what they are made of."""

    topic: str
    steps: int
    rows: str


def amount_warnings(curriculum: Curriculum, config: RunConfig) -> list[str]:
    """Returns sentences with the numbers, for the foundation, for SFT and for DPO if it may run."""
    topics, sft = curriculum.topics, [_supervised(topic, config.sft) for topic in curriculum.topics if topic.sft]
    found: list[str] = []
    if config.model.name == MEASURED:
        if curriculum.foundation is not None:
            whole = [_supervised(curriculum.foundation, config.foundation)]
            found += _far("foundation", "the foundation", whole, config.foundation.learning_rate)
        kind = "sft" if curriculum.foundation is None else "sft after it"
        found += _far(kind, "SFT", sft, config.sft.learning_rate)
        if may_prefer(config):
            steps = config.dpo.steps
            dpo = [Amount(item.id, steps, f"{several(len(item.pairs), 'pair')}") for item in topics if item.pairs]
            found += _far("dpo", "DPO", dpo, config.dpo.learning_rate)
    return found + _uneven(sft, config.sft.epochs)


def _supervised(topic: Topic, settings: SupervisedConfig) -> Amount:
    plan = plan_epochs(len(topic.sft), settings.batch, settings.accumulation, settings.epochs)
    return Amount(topic.id, plan.steps, f"{several(len(topic.sft), 'row')}, {several(settings.epochs, 'epoch')}")


def _far(kind: str, label: str, planned: Sequence[Amount], rate: float) -> list[str]:
    least, most = FOUND[kind]
    outside = [each for each in planned if not least / FAR <= each.steps * rate <= most * FAR]
    if not outside:
        return []
    worst = max(outside, key=lambda each: max(each.steps * rate / most, least / (each.steps * rate)))
    amount, near = worst.steps * rate, f"{least:.2g}" + (f" to {most:.2g}" if most > least else "")
    size, better = ("more", most) if amount > most else ("less", least)
    numbers = f"{worst.rows}: {worst.steps} steps x rate {rate:g} = {amount:.2g}; the recipes have {near}"
    who = label if kind == "foundation" else f"{label} of {len(outside)} of {len(planned)} topics"
    which = "" if kind == "foundation" else f", {worst.topic} among them"
    return [
        f"{who} is far {size} training than the shipped recipes were found with{which} ({numbers}): about "
        f"{max(1, round(better / rate))} steps, or a rate of {better / worst.steps:.1g}, would be like them"
    ]


def _uneven(planned: Sequence[Amount], epochs: int) -> list[str]:
    ordered = sorted(planned, key=lambda each: each.steps)
    if not ordered or ordered[-1].steps <= UNEVEN * ordered[0].steps:
        return []
    small, large = ordered[0], ordered[-1]
    return [
        f"one rate and {several(epochs, 'epoch')} train topics unevenly: {large.topic} has {large.rows} and takes "
        f"{large.steps} steps, {small.topic} has {small.rows} and takes {small.steps}; divide large topics, or lower "
        "sft.epochs"
    ]
