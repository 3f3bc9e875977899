"""The audit of rows: what cannot be rendered is found before anything is trained."""

from dataclasses import replace
from pathlib import Path

import tiny
from curricula import ONE, Course, turn
from mlx_lm.tokenizer_utils import load

from engine.contract.settings.config import CurriculumConfig, ModelConfig, RunConfig
from engine.data.foundation import with_foundation
from engine.data.templates.chat_template import Renderer
from engine.preflight.token_audit import audit


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
