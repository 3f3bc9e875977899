"""The audit of rows: what cannot be rendered is found before anything is trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from curricula import ONE, Course, turn
from mlx_lm.tokenizer_utils import load

from engine.contract.settings.config import CurriculumConfig, ModelConfig, RunConfig
from engine.contract.vocabulary import FOUNDATION
from engine.data.foundation import with_foundation
from engine.data.templates.chat_template import Example, Message, Renderer
from engine.preflight.token_audit import audit, works


def test_a_row_that_only_the_foundation_cannot_render_is_found(tmp_path: Path) -> None:
    """Its last turns do not fit: it can be cut if every answer is trained, and not if only the last one is."""
    course = Course(tmp_path)
    turns = [turn("user", "Cold?"), turn("assistant", "Aye."), turn("user", "cold " * 600), turn("assistant", "Aye.")]
    course.sft.append({"topic": ONE, "messages": turns})
    curriculum = with_foundation(course.load())
    renderer = Renderer(load(tiny.make_model(tmp_path / "model")))
    config = RunConfig(CurriculumConfig(str(tmp_path)), ModelConfig(max_length=512))
    assert audit(curriculum, renderer, config)[1] == []
    last = replace(config, foundation=replace(config.foundation, answers="last"))
    (row,) = audit(curriculum, renderer, last)[1]
    assert row.where.endswith("sft.jsonl:7") and row.problem.startswith("the prompt has")


def test_the_work_of_the_foundation_is_told_without_rendering_a_row_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = Course(tmp_path)
    curriculum = with_foundation(course.load())
    renderer = Renderer(load(tiny.make_model(tmp_path / "model")))
    config = RunConfig(CurriculumConfig(str(tmp_path)), ModelConfig(max_length=512))
    audits, _ = audit(curriculum, renderer, config)
    assert curriculum.foundation is not None
    rows = [row.conversation(config.foundation.answers) for row in curriculum.foundation.sft]
    tokens = [len(renderer.example(row.messages, row.answer, 512, row.since).ids) for row in rows]
    prompts = [renderer.example(item.messages, item.reference, 512).prompt for item in curriculum.foundation.questions]
    example, rendered = renderer.example, list[str]()

    def counted(messages: Sequence[Message], answer: str, *more: Any) -> Example:
        rendered.append(answer)
        return example(messages, answer, *more)

    monkeypatch.setattr(renderer, "example", counted)
    found = works(curriculum, audits, renderer, config)[FOUNDATION]
    assert found.sft == config.foundation.epochs * sum(tokens)
    assert found.read == sum(prompts)
    assert sorted(rendered) == sorted(item.reference for item in curriculum.foundation.questions)
