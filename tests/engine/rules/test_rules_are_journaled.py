"""The journal says how often each rule was checked and held, with its last number, in about a kilobyte a phase."""

from collections import Counter

import pytest
from breaking import settings
from tiny import new_run, train_here

from engine.contract.journal import events as e
from engine.contract.journal.codec import encode
from engine.contract.journal.store import read_journal
from engine.rules.enforce import CHECKS, RULES, Broken, require
from engine.training.phases import settle

A_PHASE = 1500  # bytes at most, the sentences of the rules not counted: they come once


def rules_of(records: list[e.Record]) -> list[e.Record]:
    return [record for record in records if isinstance(record.event, e.RulesChecked)]


def test_counts_and_numbers_are_those_since_the_event_before() -> None:
    CHECKS.take(None, None, texts=False)
    require("finite-steps", True, "", found=0, limit=1)
    require("finite-steps", True, "", found=1, limit=1)
    require("one-template", True, "")
    with pytest.raises(Broken):
        require("dpo-starts-at-ln2", False, "", found=0.2, limit=1e-3)
    event = CHECKS.take("a/b/c", "dpo", texts=True)
    assert event is not None and (event.topic, event.phase) == ("a/b/c", "dpo")
    assert event.held == {"finite-steps": 2, "one-template": 1} and event.broken == {"dpo-starts-at-ln2": 1}
    assert event.numbers == {"finite-steps": (1, 1), "dpo-starts-at-ln2": (0.2, 1e-3)}
    assert event.texts == {name: rule.text for name, rule in RULES.items()}
    assert CHECKS.take("a/b/c", "dpo", texts=False) is None


def test_a_run_states_every_rule_that_it_checked_and_each_phase_in_a_kilobyte(kit, tmp_path) -> None:
    CHECKS.held.clear()
    done = train_here(new_run(tmp_path / "run", settings(kit, "dpo")))
    found = rules_of(done.records)
    held = sum((Counter(record.event.held) for record in found), Counter())
    assert held == CHECKS.held and not any(record.event.broken for record in found)
    fuse = [record.event for record in found if "fuse-moves-weights" in record.event.numbers]
    assert fuse and all(0 <= kl <= limit for event in fuse for kl, limit in [event.numbers["fuse-moves-weights"]])
    first = [event for record in found if "dpo-starts-at-ln2" in (event := record.event).numbers]
    assert [event.phase for event in first] == ["dpo", "dpo"]
    assert all(0 <= event.numbers["dpo-starts-at-ln2"][0] <= 1e-3 for event in first)
    assert [bool(record.event.texts) for record in found] == [True, *[False] * (len(found) - 1)]
    phases = Counter()
    for record in found[1:]:
        phases[record.event.topic, record.event.phase] += len(encode(record))
    assert max(phases.values()) <= A_PHASE, phases


def test_a_broken_rule_is_counted_where_its_phase_is_rolled_back(kit, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(settle.deltas, "delta_norm", lambda *_: 0.0)
    run = new_run(tmp_path / "run", settings(kit, "sft"))
    train_here(run)
    events = [record.event for record in read_journal(run.journal)]
    assert any(isinstance(event, e.Failed) and event.rule == "steps-as-planned" for event in events)
    broken = [event for event in events if isinstance(event, e.RulesChecked) and event.broken]
    assert (
        broken and broken[0].broken == {"steps-as-planned": 1} and broken[0].numbers["steps-as-planned"] == (0.0, None)
    )
    assert (broken[0].topic is None, broken[0].phase) == (False, "sft")
