"""Which answers are paired for a vote, and in which order they are shown."""

from pathlib import Path

import pytest
from golden import put
from msgspec.structs import replace
from voting import NOW, TOPIC, run_of, sample

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.store import JournalWriter, read_journal
from engine.contract.vocabulary import FOUNDATION
from mindprint_tui.votes.ballots import Ballots, read_ballots


def stages(found: Ballots) -> set[frozenset[str]]:
    return {frozenset((ballot.first.stage, ballot.second.stage)) for ballot in found.pairs}


def test_by_default_the_base_is_compared_with_the_last_stage_in_the_model(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    found = read_ballots([run], None, 0)
    assert len(found.pairs) == 24 and stages(found) == {frozenset(("before", "sft"))}  # DPO was rolled back
    assert stages(read_ballots([run], ("sft", "dpo"), 0)) == {frozenset(("sft", "dpo"))}
    with pytest.raises(InputError, match=r"night \(before\) and night \(final\): no question has an answer on both"):
        read_ballots([run], ("before", "final"), 0)


def test_the_order_follows_from_the_seed_and_hides_the_stage(tmp_path: Path) -> None:
    run = run_of(tmp_path, 200)
    one, again, other = (read_ballots([run], None, seed).pairs for seed in (0, 0, 1))
    assert one == again != other and {ballot.pair for ballot in one} == {ballot.pair for ballot in other}
    for pairs in (one, other):
        assert 70 < sum(ballot.first.stage == "sft" for ballot in pairs) < 130
    assert [ballot.question for ballot in one] != [f"Question {number} of the lamp?" for number in range(200)]


def test_two_runs_are_compared_on_the_questions_that_both_answered(tmp_path: Path) -> None:
    first, other = run_of(tmp_path, 6), run_of(tmp_path, 4, name="noon")
    journal = JournalWriter(other.journal)
    journal.append(sample("sft", 1, "Nay, it is out.", 0.7))
    found = read_ballots([first, other], None, 0)
    assert found.same == 3 and len(found.pairs) == 1  # the others have the same answers in both runs
    sides = {(side.run, side.stage, side.answer) for side in (found.pairs[0].first, found.pairs[0].second)}
    assert sides == {("night", "sft", "Aye, it burns, 1."), ("noon", "sft", "Nay, it is out.")}


def test_two_runs_with_a_final_exam_are_compared_by_it(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, 2), run_of(tmp_path, 2, name="noon")]
    for run, answer in zip(runs, ("Aye.", "Nay."), strict=True):
        journal = JournalWriter(run.journal)
        journal.append(sample("final", 0, answer, 0.7))
        journal.append(e.Evaluated(TOPIC, "final", 0.5, 0.7, 0.5, {}, None, "ok", 1.0))
        journal.append(e.Examined(1, 1, 1, {}, (), "f"))
    assert stages(read_ballots(runs, None, 0)) == {frozenset(("final",))}


def test_final_answers_of_a_model_that_is_gone_are_not_asked(tmp_path: Path) -> None:
    run = run_of(tmp_path, 2)
    journal = JournalWriter(run.journal)
    journal.append(sample("final", 0, "Aye.", 0.7))
    journal.append(e.Evaluated(TOPIC, "final", 0.5, 0.7, 0.5, {}, None, "ok", 1.0))
    assert len(read_ballots([run], ("before", "final"), 0).pairs) == 1
    journal.append(e.TopicStarted("unit-01/chapter-01/topic-09", 2, 2))
    with pytest.raises(InputError, match="no question has an answer on both sides"):
        read_ballots([run], ("before", "final"), 0)


def test_answers_of_an_earlier_attempt_and_of_the_foundation_are_not_asked(tmp_path: Path) -> None:
    run = run_of(tmp_path, 3)
    journal = JournalWriter(run.journal)
    journal.append(replace(sample("before", 0, "It is.", 0.1), topic=FOUNDATION))
    journal.append(replace(sample("sft", 0, "Aye.", 0.1), topic=FOUNDATION))
    journal.append(e.TopicStarted(TOPIC, 1, 1, 2))
    journal.append(sample("sft", 2, "Aye, again.", float("nan")))
    (ballot,) = read_ballots([run], ("before", "sft"), 0).pairs
    assert ballot.question == "Question 2 of the lamp?"
    assert {side.answer: side.voice for side in (ballot.first, ballot.second)} == {
        "Aye, again.": None,
        "It is lit, 2.": 0.5,
    }


def test_text_that_no_file_can_hold_is_made_whole(tmp_path: Path) -> None:
    run = run_of(tmp_path, 1)
    told = [record.event for record in read_journal(run.journal)]
    told = [replace(x, answer=f"\ud800 {x.stage}") if isinstance(x, e.Sample) else x for x in told]
    broken = put(tmp_path / "broken", [Record(seq, NOW + seq, event) for seq, event in enumerate(told)])
    (ballot,) = read_ballots([broken], None, 0).pairs
    assert {ballot.first.answer, ballot.second.answer} == {"? before", "? sft"}
