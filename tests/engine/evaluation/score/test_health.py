"""Loops are found, honest answers are not, in any script and at any length."""

import pytest

from engine.evaluation.score.parts.health import FLOORS, fit_limits, health, measure_health


def test_own_texts_are_healthy(scorer, texts):
    own = [*texts.own, *texts.references]
    assert all(measure_health(text.text, scorer.health).healthy for text in own)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("", "empty"),
        (" \n…!", "empty"),
        ("Aye.<|im_end|> lad", "special_tokens"),
        ("the boat is the boat is the boat is the boat and the boat is the boat", "repeating"),
        ("aye aye aye aye", "repeating"),
        ("the lamp " + "ha" * 20, "repeating"),
        ("lamp the lamp of lamp and lamp or lamp, lamp", "repeating"),
        ("灯" * 30, "repeating"),
        ("灯塔在海边灯塔在海边灯塔在海边灯塔在海边灯塔在海边", "repeating"),
        ("Yes.", "ok"),
        ("No, no, no.", "ok"),
        ("Aye, lad.", "ok"),
        ("灯塔建在岩石上,夜里点灯,白天擦玻璃。风大的时候要关好窗户。", "ok"),
        ("น้ำขึ้นตอนเช้าและลงตอนบ่าย เรือออกได้เมื่อลมสงบ", "ok"),
    ],
)
def test_states(answer, state):
    assert health(answer, ("<|im_end|>",)) == state
    found = measure_health(answer, None, ("<|im_end|>",))
    assert found.healthy == (state == "ok") == (found.reason is None)


def test_limits_follow_a_voice_that_repeats_itself_and_never_get_stricter():
    litany = "the sea is the sea and the rope is the rope and the sea is the sea and the rope is the rope tonight"
    limits = fit_limits([litany] * 5)
    assert limits.pairs > 0.5 and measure_health(litany, limits).healthy
    assert fit_limits(["Every word here differs from all of its neighbours today."] * 9) == FLOORS
    assert fit_limits([]) == FLOORS
