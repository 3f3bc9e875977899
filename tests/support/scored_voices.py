"""Curricula for tests of the scores: the keeper with base model answers, and other voices."""

import hashlib
import json
from pathlib import Path

from engine.evaluation.score.parts.likelihood import AnswerLogprobs
from engine.evaluation.score.texts import ScoringTexts, Text, TextPair

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "scores"
KEEPER = ROOT / "configs" / "curricula" / "keeper"


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_texts(folder, base=None):
    """Reads a curriculum folder. `base` is a JSON file with the base model's answers."""
    sft = rows(folder / "sft.jsonl")
    return ScoringTexts(
        [Text(row["topic"], row["messages"][-2]["content"], row["messages"][-1]["content"]) for row in sft],
        [
            TextPair(row["topic"], row["prompt"], row["chosen"], row["rejected"])
            for row in rows(folder / "preferences.jsonl")
        ],
        [Text(row["topic"], row["question"], row["reference"]) for row in rows(folder / "quiz.jsonl")],
        [Text(row["topic"], row["question"], row["answer"]) for row in json.loads(base.read_text(encoding="utf-8"))]
        if base
        else [],
    )


def keeper():
    return read_texts(KEEPER, FIXTURES / "keeper_base.json")


def key(prompt, answer):
    return hashlib.sha256(f"{prompt}\n{answer}".encode()).hexdigest()[:16]


class RecordedLogprobs:
    """Log-probabilities of the base model, read from a recording."""

    def __init__(self, name="keeper_logprobs.json"):
        self.known = json.loads((FIXTURES / name).read_text(encoding="utf-8"))

    def __call__(self, prompts, answers):
        found = [self.known[key(prompt, answer)] for prompt, answer in zip(prompts, answers, strict=True)]
        return [AnswerLogprobs(*numbers) for numbers in found]
