"""Writes a curriculum of many rows: `python tests/soak/many_rows.py FOLDER [ROWS]`. One seed, one set of files."""

import json
import random
import sys
from pathlib import Path
from typing import Any

SEED, TOPICS, QUESTIONS, PAIRS = 3, 2, 3, 40  # the questions and pairs are few: the rows are what is measured
CONSONANTS, VOWELS, WORDS = "bcdfghklmnprstvw", "aeiou", 6000


def write(folder: Path, rows: int) -> None:
    """Writes sft.jsonl with `rows` rows, preferences.jsonl and quiz.jsonl into the folder."""
    draw = random.Random(SEED)
    words = ["".join(map(draw.choice, (CONSONANTS, VOWELS) * draw.randint(1, 4))) for _ in range(WORDS)]

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most))).capitalize() + "."

    def save(name: str, count: int, fields: dict[str, tuple[int, int]]) -> None:
        with (folder / name).open("w") as file:
            for number in range(count):
                row: dict[str, Any] = {"topic": f"unit/chapter/topic-{number % TOPICS}"}
                file.write(json.dumps(row | {key: text(*bounds) for key, bounds in fields.items()}) + "\n")

    question, answer = (6, 14), (30, 80)
    save("sft.jsonl", rows, {"prompt": question, "completion": answer})
    save("preferences.jsonl", TOPICS * PAIRS, {"prompt": question, "chosen": answer, "rejected": answer})
    save("quiz.jsonl", TOPICS * QUESTIONS, {"question": question, "reference": answer})


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
