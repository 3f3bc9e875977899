"""Builds curriculum folders, and rows for them, for tests."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.contract.errors import InputError
from engine.contract.settings.config import CurriculumConfig
from engine.data.curriculum import Curriculum, load_curriculum

ONE, TWO = "unit-01/chapter-01/topic-01", "unit-01/chapter-01/topic-02"
COURSE = """
title: A course
units:
  - id: unit-01
    title: The light
    chapters:
      - id: chapter-01
        title: The lamp
        topics:
          - {id: topic-01, title: The wick}
          - {id: topic-02, title: The oil}
"""
VOICE = "groups:\n  - {name: assent, patterns: [aye, '[0-9a-f]{5}']}\n"


def words(*seed: object) -> str:
    """Returns eight words. Words from another seed never share three in a row with them."""
    digest = hashlib.sha256(repr(seed).encode()).hexdigest()
    return " ".join(digest[i : i + 5] for i in range(0, 40, 5))


def sft(topic: str, n: int) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": words("question", topic, n)},
        {"role": "assistant", "content": words("answer", topic, n)},
    ]
    return {"topic": topic, "messages": turns}


def pair(topic: str, n: int, **more: Any) -> dict[str, Any]:
    texts = {name: words(name, topic, n) for name in ("prompt", "chosen", "rejected")}
    return {"topic": topic} | texts | more


def quiz(topic: str, n: int) -> dict[str, Any]:
    return {"topic": topic, "question": words("quiz", topic, n), "reference": words("reference", topic, n)}


def turn(role: str, content: Any = "text") -> dict[str, Any]:
    return {"role": role, "content": content}


class Course:
    """A curriculum folder. Each file is a list of objects or of raw lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.course, self.voice = COURSE, VOICE
        topics = (ONE, TWO)
        self.sft: list[Any] = [sft(topic, n) for topic in topics for n in range(3)]
        self.pairs: list[Any] = [pair(topic, n) for topic in topics for n in range(4)]
        self.quiz: list[Any] = [quiz(topic, n) for topic in topics for n in range(2)]

    def load(self, only: Sequence[str] = (), needs_pairs: bool = True, share: float = 0.25, **more: Any) -> Curriculum:
        (self.folder / "curriculum.yaml").write_text(self.course, encoding="utf-8")
        (self.folder / "voice.yaml").write_text(self.voice, encoding="utf-8")
        for name, rows in (("sft", self.sft), ("preferences", self.pairs), ("quiz", self.quiz)):
            lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
            (self.folder / f"{name}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        settings = CurriculumConfig(str(self.folder), tuple(only), share, **more)
        return load_curriculum(settings, needs_pairs)

    def refusal(self, **how: Any) -> str:
        with pytest.raises(InputError) as caught:
            self.load(**how)
        return str(caught.value)


def held(curriculum: Curriculum) -> int:
    """Returns the number of rows in all topics, counted one by one."""
    return sum(len(t.sft) + len(t.pairs) + len(t.heldout) + len(t.questions) for t in curriculum.topics)
