"""What must not be overlooked: a broken rule is counted and shown, however much fails after it, and nothing else is."""

import pytest
from make import happy
from story import Story, topic_id

from engine.contract.journal import events as e
from mindprint_tui.journal.feed import Liveness
from mindprint_tui.journal.fold import FAILURES, fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.focus import Focus
from mindprint_tui.view.notices import banner
from mindprint_tui.view.panes.adapter import adapter_lines

BROKE = e.Failed("x sft", "the base was changed", "", topic_id(0), "sft", "frozen-weights")
MANY = [e.Failed(f"topic {number}", "it failed", "", topic_id(1)) for number in range(FAILURES + 1)]


def told(*events: e.Event) -> RunState:
    state = fold(RunState(), happy())
    return fold(state, [e.Record(state.seq + place, state.t + place, event) for place, event in enumerate(events, 1)])


def pane(state: RunState) -> str:
    return "\n".join("".join(text for text, _ in line) for line in adapter_lines(state, 70))


def loud(state: RunState, seen: int = 0) -> str:
    lines = banner(state, Liveness("alive", 0.0), Focus(seen=seen), state.t, 110)
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_a_rule_that_broke_is_counted_whatever_fails_after_it() -> None:
    state = told(BROKE, *MANY)
    assert "✗ rules broken 1" in pane(state) and "✗ frozen-weights: the base was changed" in pane(state)
    assert len(state.failures) == FAILURES
    both = told(BROKE, *MANY, BROKE)
    assert "✗ rules broken 2" in pane(both)


def test_a_broken_rule_stays_in_the_banner_until_it_is_put_away() -> None:
    for state in (told(BROKE, *MANY[:2]), told(BROKE, *MANY)):
        assert loud(state).startswith("✗ RULE BROKEN: frozen-weights") and "it failed" in loud(state)
        assert loud(state, seen=state.failed) == ""


def test_what_comes_after_many_failures_were_put_away_is_told() -> None:
    state = told(*MANY)
    seen = state.failed
    later = [e.Failed("y dpo", "it began elsewhere", "", topic_id(2), "dpo", "dpo-starts-at-ln2")]
    later.append(e.Failed("disk", "the disk is full", ""))
    state = fold(state, [e.Record(state.seq + place, state.t, event) for place, event in enumerate(later, 1)])
    assert "RULE BROKEN: dpo-starts-at-ln2" in loud(state, seen)
    assert "the run ended · the disk is full" in loud(state, seen) and "it failed" not in loud(state, seen)


def test_more_broken_rules_than_are_kept_are_counted_and_hide_no_end() -> None:
    end = e.Failed("disk", "the disk is full", "")
    state = told(*[BROKE] * (FAILURES + 1), end)
    assert f"✗ rules broken {FAILURES + 1}" in pane(state) and "the disk is full" in loud(state, FAILURES + 1)


def old(*events: e.Event) -> RunState:
    """After the beginning of a run whose engine says nothing of its rules by itself."""
    story = Story("old", 1)
    story.open()
    for event in events:
        story.say(event)
    return fold(RunState(), story.records)


def adapter(modules: int, names: tuple[str, ...] = ("up_proj", "down_proj"), layers: int = 28) -> RunState:
    return told(adapter_of(modules, names, layers))


def adapter_of(modules: int, names: tuple[str, ...] = ("up_proj", "down_proj"), layers: int = 28) -> e.AdapterChanged:
    return e.AdapterChanged(
        topic_id(0), "sft", "attached", 8, 2.0, modules, 96, 96, 1000, "f" * 16, "f" * 16, 0, None, None, None, names,
        layers,
    )  # fmt: skip


def test_a_mixture_with_shared_experts_has_more_modules_of_a_name_than_layers() -> None:
    """Their count is right: the engine compares it with the arrays, and would have ended the phase."""
    assert "modules 112 of 2 × 28 layers" in pane(adapter(112)) and "several in a layer" in pane(adapter(112))
    assert "modules 56 = 2 × 28 layers" in pane(adapter(56))
    assert "modules 14 of 2 × 28 layers" in pane(adapter(14)) and "where a layer has them" in pane(adapter(14))


HELD = e.RulesChecked({"requested-modules": 1, "trainable-set": 1}, {}, topic=topic_id(0), phase="sft")
BROKEN = e.RulesChecked({}, {"requested-modules": 1}, topic=topic_id(0), phase="sft")


@pytest.mark.parametrize("modules", [0, 14, 56])
def test_only_the_engine_s_word_is_a_tick_or_a_cross(modules: int) -> None:
    """Whatever the numbers are; and a journal of an earlier engine, which says nothing of its rules, has neither."""
    started = e.PhaseStarted(topic_id(0), "sft", 12, 5, 0, 0)
    counts = f"modules {modules}"
    for rules, sign in (((), ""), ((HELD,), "✓"), ((BROKEN,), "✗ BROKEN")):
        state = old(started, adapter_of(modules), *rules)
        row = next(row for row in pane(state).splitlines() if row.startswith(counts))
        assert ("✓" in row, "✗" in row) == (sign == "✓", sign == "✗ BROKEN"), row
    assert "rules: not stated" in pane(old(started, adapter_of(modules)))
    assert "✓" not in pane(old(started, adapter_of(modules))) and "2 rules hold ✓" in pane(
        old(started, HELD, adapter_of(7))
    )
    assert "✗ rules broken 1" in pane(old(started, BROKEN, adapter_of(7)))


def test_a_first_dpo_step_that_is_not_finite_breaks_no_rule() -> None:
    story = Story("nan", 1)
    story.open()
    story.base()
    story.say(e.TopicStarted(topic_id(0), 1, 1))
    story.phase(0, "dpo", 12, 5, bad=1)
    shown = pane(fold(RunState(), story.records))
    assert "first DPO loss nan not applied" in shown and "BROKEN" not in shown
