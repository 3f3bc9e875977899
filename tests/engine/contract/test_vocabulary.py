"""The tables of words: complete, and true to the journals that are there."""

from dataclasses import fields
from typing import get_args

import pytest

from engine.contract import vocabulary as v
from engine.contract.journal.events import Evaluated
from engine.contract.settings.config import RunConfig, ThresholdsConfig

TABLES = {
    v.Phase: v.PHASES,
    v.Stage: v.STAGES,
    v.Verdict: v.VERDICTS,
    v.AdapterState: v.ADAPTER_STATES,
    v.Health: v.HEALTH,
}


@pytest.mark.parametrize(("literal", "table"), TABLES.items())
def test_every_word_has_one_row(literal: object, table: dict[str, object]) -> None:
    assert get_args(literal) == tuple(table)


def test_each_phase_has_a_section_and_a_stage_of_its_name() -> None:
    assert set(v.PHASES) <= {item.name for item in fields(RunConfig)}
    assert {row.phase for row in v.STAGES.values()} - {None} == set(v.PHASES)
    assert all(row.phase in (None, name) for name, row in v.STAGES.items())


def test_what_is_kept_is_the_last_phase_in_the_model() -> None:
    assert v.last_kept({}) is None
    assert v.last_kept({"sft": "fused", "dpo": "rolled_back"}) == "sft"
    assert v.last_kept({"sft": "fused", "dpo": "kept_attached"}) == "dpo"


def test_headline_scores_and_gates_are_fields_of_an_evaluation() -> None:
    assert set(v.SCORES) <= set(Evaluated.__struct_fields__)
    assert set(v.GATES) <= {item.name for item in fields(ThresholdsConfig)}


def test_a_word_without_a_row_is_shown_as_it_is() -> None:
    assert v.health_label("special_tokens") == "full of special tokens"
    assert v.health_label("off_topic") == "off topic"
    assert v.score_label("heldout_margin") == "margin" and v.score_label("sea words") == "sea words"
