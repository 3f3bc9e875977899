"""Writes the configuration of a first run: settings that fit the number of rows, with the reasons beside them."""

from dataclasses import dataclass
from math import ceil

from engine.contract.settings.config import ModelConfig

EMBEDDED = ModelConfig().name
BATCH = 4
RATE, STEPS = 5e-4, 224  # of the foundation that docs/EXPERIMENTS.md found: 224 rows in batches of 4, 4 epochs
TOPIC_RATE, TOPIC_STEPS = 2e-4, 8  # of a topic after a foundation
LEAST_PAIRS = 4  # for DPO
LENGTHS = (256, 512, 1024)  # model.max_length
ANSWERS = (32, 48, 64, 96, 128, 192, 256)  # evaluation.max_tokens


@dataclass(frozen=True, slots=True)
class Size:
    """What the settings depend on: numbers of rows, topics and pairs to train on, and lengths in tokens.

    `largest` is the number of rows of the largest topic. `answer` is the length of a long answer, `row` of the longest
    row.
    """

    rows: int
    topics: int
    largest: int
    pairs: int
    answer: int
    row: int


def settings(folder: str, model: str, size: Size) -> str:
    """Returns the text of a configuration file."""
    several = size.topics > 1
    epochs, rate = _amount(size.rows, RATE, STEPS, 6)
    main = "foundation" if several else "sft"
    parts = [
        f"# Made by mindprint-tui new for {size.rows:,} rows in {_topics(size.topics)}. It is yours: once you have\n"
        "# edited it, it is not written again. docs/CONFIGURATION.md has every key, docs/EXPERIMENTS.md the recipes.\n",
        "model:\n"
        f"  name: {model}  # what wrote the questions and the rejected answers, too; see docs/MODELS.md\n"
        f"  max_length: {_at_least(size.row, LENGTHS)}  # the longest row has {size.row} tokens\n",
        f"curriculum:\n  path: {folder}  # relative to this file\n",
        f"{main}:  # {'all rows together first, then topic by topic' if several else 'one topic, so one phase'}\n"
        "  rank: 32\n  alpha: 64\n"
        "  modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]\n"
        f"  epochs: {epochs}  # {_steps(size.rows, epochs)} steps; recipes that worked had 56 to {STEPS}\n"
        f"  learning_rate: {rate:.1e}{_lower(rate, RATE)}\n",
    ]
    if several:
        epochs, rate = _amount(size.largest, TOPIC_RATE, TOPIC_STEPS, 2)
        parts.append(
            "sft:  # of each topic: little, at a low rate, to keep what the foundation taught\n"
            "  modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]\n"
            f"  epochs: {epochs}\n  learning_rate: {rate:.1e}{_lower(rate, TOPIC_RATE)}\n"
        )
    else:
        parts.append("foundation:\n  epochs: 0  # with one topic it would train the same rows twice\n")
    parts.append(
        "dpo:\n"
        + (
            "  when: gated  # if the voice is below thresholds.dpo_trigger after SFT\n"
            "  rank: 4\n  alpha: 8\n  steps: 6\n  learning_rate: 1.0e-4\n"
            if size.pairs >= LEAST_PAIRS * size.topics
            else f"  when: never  # {size.pairs} pairs are too few\n"
        )
    )
    parts.append(
        "evaluation:\n"
        f"  max_tokens: {_at_least(size.answer, ANSWERS)}  # a long answer of yours has {size.answer}\n"
        "  repetition_penalty: 1.15  # a small model repeats itself without it\n"
    )
    parts.append(
        "thresholds:\n  voice: 0.5  # 0: not your voice; 1: like the weakest of your own texts\n  dpo_trigger: 0.9\n"
    )
    return "\n".join(parts)


def _amount(rows: int, rate: float, steps: int, most_epochs: int) -> tuple[int, float]:
    """Returns epochs and a rate with about the amount of training (steps x rate) of a recipe that worked."""
    each = ceil(rows / BATCH)
    epochs = max(1, min(4 if rows >= 40 else most_epochs, most_epochs, steps // max(1, each)))
    return epochs, rate * min(1.0, steps / (epochs * max(1, each)))


def _steps(rows: int, epochs: int) -> int:
    return ceil(rows / BATCH) * epochs


def _lower(rate: float, recipe: float) -> str:
    return f"  # lower than the recipe's {recipe:g}, since there are more steps" if rate < recipe else ""


def _topics(count: int) -> str:
    return "one topic" if count == 1 else f"{count} topics"


def _at_least(wanted: int, known: tuple[int, ...]) -> int:
    return next((one for one in known if one >= wanted), known[-1])
