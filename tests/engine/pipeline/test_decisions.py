"""Decisions with their reasons, gates that can be reached, and what a journal amounts to."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from engine.contract.intervals import Estimate
from engine.contract.journal import events as e
from engine.contract.journal.events import Evaluated, Record
from engine.contract.journal.live import live
from engine.contract.settings.config import DpoConfig, ThresholdsConfig
from engine.data.curriculum import Curriculum
from engine.data.forms.row_types import Pair, Question, SftRow
from engine.data.topic import Topic
from engine.data.voice_profile import load_profile
from engine.pipeline.decisions import Decision, after_dpo, after_phase, gate, retry, verdict
from engine.preflight.gates import base_warnings, question_warnings, scorer_of_rows, unreachable
from engine.runtime.history import read_history
from engine.runtime.summary import summarize

ONE, TWO, THREE = "unit-01/chapter-01/topic-01", "unit-01/chapter-01/topic-02", "unit-02/chapter-01/topic-01"
LIMITS = ThresholdsConfig(accuracy=0.7)


def scored(accuracy: float = 0.8, voice: float = 0.8, topic: str = ONE, stage: Any = "sft", **more: Any) -> Evaluated:
    """Three answers whose means are known to 0.1 either way, unless `intervals` says otherwise."""
    intervals = {"accuracy": (accuracy - 0.1, accuracy + 0.1), "voice": (voice - 0.1, voice + 0.1)}
    plain = dict(components={}, preference_accuracy=None, health="ok", seconds=1.0, questions=3, intervals=intervals)
    return Evaluated(topic, stage, accuracy, voice, (accuracy + voice) / 2, **(plain | more))


def change(mean: float, half: float = 0.05) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 3)


# --- keep or roll back


@pytest.mark.parametrize(
    ("before", "after", "changes", "decision", "reason"),
    [
        (scored(0.5, 0.1), scored(0.6, 0.7), {"combined": change(0.4)}, "keep", "voice 0.10 -> 0.70 ± 0.10 (3)"),
        (scored(0.5, 0.5), scored(0.5, 0.5), {}, "keep", "combined 0.50 -> 0.50"),
        (scored(), scored(), {"combined": change(-0.09, 0.01)}, "keep", "combined"),
        (scored(), scored(), {"combined": change(-0.5, 0.6)}, "keep", "combined"),
        (scored(), scored(), {"combined": Estimate(-0.5, math.nan, math.nan, 1)}, "keep", "combined"),
        (
            scored(),
            scored(),
            {"combined": change(-0.2)},
            "roll_back",
            "combined changed by -0.20 ± 0.05 (3), more than",
        ),
        (
            scored(closeness=0.5),
            scored(closeness=0.1),
            {"combined": change(0.3), "closeness": change(-0.4)},
            "roll_back",
            "closeness changed by -0.40 ± 0.05 (3), more than 0.1",
        ),
        (scored(), scored(), {"loops": change(0.4)}, "roll_back", "more answers repeat themselves, a share of 0.40"),
        (scored(), scored(), {"loops": change(0.4, 0.5)}, "keep", "combined"),
        (scored(), scored(), {"relevance": change(-0.3)}, "roll_back", "relevance changed by -0.30 ± 0.05 (3) nats"),
        (scored(), scored(), {"relevance": change(-0.3, 0.4)}, "keep", "combined"),
        (scored(0.5, 0.5), scored(0.9, 0.9, health="repeating"), {}, "roll_back", "became repetitive"),
        (scored(0.5, 0.5), scored(0.9, 0.9, health="empty"), {}, "roll_back", "became empty"),
        (scored(0.5, 0.5), scored(0.9, 0.9, health="special_tokens"), {}, "roll_back", "became full of special tokens"),
        (scored(0.5, 0.0, health="empty"), scored(0.6, 0.0, health="empty"), {}, "keep", "combined"),
        (scored(0.5, 0.5), scored(math.nan, 0.5), {}, "roll_back", "nan"),
    ],
)
def test_a_phase_that_harms_is_rolled_back(
    before: Evaluated, after: Evaluated, changes: dict[str, Estimate], decision: str, reason: str
) -> None:
    for found in (after_phase(before, after, changes, LIMITS), after_dpo(before, after, changes, None, LIMITS)):
        assert found.decision == decision
        assert reason in found.reason


@pytest.mark.parametrize(("closeness", "said"), [(0.45, "keep to the subject"), (0.1, "lose the subject")])
def test_answers_that_only_loop_are_told_from_those_that_lose_the_subject(closeness: float, said: str) -> None:
    found = after_phase(scored(closeness=0.5), scored(health="repeating", closeness=closeness), {}, LIMITS)
    assert found.reason.startswith(f"the answers became repetitive; they {said} (")
    broke = scored(health="repeating", closeness=closeness)
    assert verdict(scored(closeness=0.5), LIMITS, in_model=False, broke=broke)[1].endswith(f"; SFT's answers {said}")


@pytest.mark.parametrize(
    ("margin", "decision", "reason"),
    [
        (change(0.3, 0.1), "keep", "held-out margin +0.300 ± 0.100 (3)"),
        (change(-0.02, 0.1), "keep", "held-out margin -0.020 ± 0.100 (3)"),
        (None, "keep", "combined"),
        (change(-0.3, 0.1), "roll_back", "the held-out margin -0.300 ± 0.100 (3) did not rise"),
        (Estimate(0.02, math.nan, math.nan, 1), "keep", "held-out margin +0.020 (1)"),
        (Estimate(0.0, math.nan, math.nan, 1), "roll_back", "the held-out margin +0.000 (1) did not rise"),
        (Estimate(math.nan, math.nan, math.nan, 2), "roll_back", "the held-out margin +nan (2) did not rise"),
    ],
)
def test_dpo_must_raise_the_heldout_margin(margin: Estimate | None, decision: str, reason: str) -> None:
    before = scored(0.5, 0.5, preference_accuracy=1.0)
    after = scored(0.6, 0.6, preference_accuracy=0.5)  # one of two pairs flipped: luck, which decides nothing
    found = after_dpo(before, after, {}, margin, LIMITS)
    assert found.decision == decision
    assert reason in found.reason


# --- the gate


@pytest.mark.parametrize(
    ("accuracy", "voice", "decision", "reason"),
    [
        (0.70, 0.74, "run_dpo", "accuracy 0.70 >= 0.7 and voice 0.74 < 0.75"),
        (0.69, 0.10, "skip_dpo", "accuracy 0.69 < 0.7"),
        (0.90, 0.75, "skip_dpo", "voice 0.75 >= 0.75"),
        (1.00, 0.00, "run_dpo", "accuracy 1.00"),
    ],
)
def test_the_gate_of_the_earlier_system(accuracy: float, voice: float, decision: str, reason: str) -> None:
    found = gate(scored(accuracy, voice), DpoConfig(), LIMITS, "fuse_between", 0)
    assert found.decision == decision
    assert reason in found.reason


def test_a_health_word_that_is_not_in_the_table_rolls_back_all_the_same() -> None:
    """A word of a newer score, at the moment at which the phase is to be rolled back."""
    newer: Any = "off_topic"
    found = after_phase(scored(0.5, 0.5), scored(0.9, 0.9, health=newer), {}, ThresholdsConfig())
    assert found.decision == "roll_back" and "the answers became off topic" in found.reason
    word, reason = verdict(scored(0.9, 0.9, health=newer), ThresholdsConfig())
    assert word == "collapsed" and "the answers are off topic" in reason


def test_what_the_configuration_says_goes_before_the_gate() -> None:
    poor, good = scored(0.0, 0.0), scored(0.9, 0.1)
    assert gate(poor, DpoConfig(when="always"), LIMITS, "shared", 0) == Decision("run_dpo", "dpo.when is always")
    assert gate(good, DpoConfig(when="never"), LIMITS, "shared", 0).reason == "dpo.when is never"
    found = gate(good, DpoConfig(when="always"), LIMITS, "sft_only", 0)
    assert (found.decision, found.reason) == ("skip_dpo", "adapters.strategy is sft_only")


@pytest.mark.parametrize(("limit", "rolled_back", "runs"), [(3, 2, True), (3, 3, False), (3, 4, False), (0, 99, True)])
def test_dpo_is_given_up_after_so_many_roll_backs_in_a_row(limit: int, rolled_back: int, runs: bool) -> None:
    found = gate(scored(0.9, 0.1), DpoConfig(give_up_after=limit), LIMITS, "fuse_between", rolled_back)
    assert (found.decision == "run_dpo") is runs
    if not runs:
        assert f"rolled back in {rolled_back} topics in a row" in found.reason


# --- verdict and retry


@pytest.mark.parametrize(
    ("final", "limits", "word", "reason"),
    [
        (scored(0.5, 0.9), {}, "passed", "accuracy 0.50 ± 0.10 (3), voice 0.90 ± 0.10 (3); needed voice 0.5"),
        (scored(0.5, 0.2), {}, "below_threshold", "voice 0.20 ± 0.10 (3) < 0.5"),
        (scored(0.5, 0.55), {}, "undecided", "voice cannot be told from the threshold"),
        (scored(0.5, 0.9, intervals={}), {}, "undecided", "voice 0.90 (3)"),
        (scored(0.5, 0.0, intervals={}), {"voice": 0}, "passed", "needed nothing"),
        (scored(0.5, 0.9), {"accuracy": 0.7}, "below_threshold", "accuracy 0.50 ± 0.10 (3) < 0.7"),
        (scored(0.5, 0.2), {"accuracy": 0.7}, "below_threshold", "accuracy 0.50 ± 0.10 (3) < 0.7 and voice 0.20"),
        (scored(0.5, 0.9), {"closeness": 0.3}, "undecided", "closeness cannot be told"),
        (
            scored(0.90, 0.90, health="repeating"),
            {},
            "collapsed",
            "the answers are repetitive (accuracy 0.90 ± 0.10 (3)",
        ),
        (scored(0.00, 0.00, health="empty"), {}, "collapsed", "the answers are empty"),
    ],
)
def test_the_verdict_has_its_numbers(final: Evaluated, limits: dict[str, float], word: str, reason: str) -> None:
    found, why = verdict(final, ThresholdsConfig(**limits))
    assert found == word
    assert reason in why


def test_a_topic_of_which_nothing_is_in_the_model_was_not_trained_whatever_its_score() -> None:
    word, why = verdict(scored(0.9, 0.9), LIMITS, in_model=False)
    assert word == "not_trained" and why.startswith(
        "SFT was rolled back, and nothing of the topic is in the model (acc"
    )
    word, why = verdict(scored(0.9, 0.9), LIMITS, in_model=False, broke=scored(0.2, 0.1, health="repeating"))
    assert word == "not_trained" and why.startswith("SFT made the answers repetitive and was rolled back, and nothing")


def test_retries_are_counted_from_the_first_attempt() -> None:
    assert retry("below_threshold", 1, 0) is None
    first, second = retry("below_threshold", 1, 2), retry("error", 2, 2)
    assert first == Decision("retry", "below_threshold at attempt 1; 2 more allowed")
    assert second == Decision("retry", "error at attempt 2; 1 more allowed")
    assert retry("collapsed", 3, 2) is None
    assert retry("undecided", 1, 9) is None, "another attempt decides nothing"
    assert retry("passed", 1, 9) is None and retry("skipped", 1, 9) is None


# --- reach


def course(reference: str, profile: str, tmp_path: Path) -> Curriculum:
    """Four topics of rows in a voice and out of it."""
    (tmp_path / "voice.yaml").write_text(profile, encoding="utf-8")
    topics = []
    for number, thing in enumerate("lamp rope kettle boat door wick stair gull".split()):
        rows = tuple(SftRow((), text, "s:1") for text in own(thing))
        pairs = tuple(Pair((), f"Aye, clean yer {thing}, lad.", text, None, "p:1") for text in bare(thing))
        wanted = reference.format(thing=thing) if number == 0 else f"Aye, yer {thing} is a grand auld {thing}, lad."
        topics.append(Topic(f"u/c/t{number}", "t", "u", "c", rows, pairs, (), (Question("q", wanted, (), "q:1"),)))
    return Curriculum(tuple(topics), load_profile(tmp_path / "voice.yaml"), (), 0, 0, 0, 0)


def own(thing: str) -> list[str]:
    return [
        f"Aye, 'tis an auld {thing}, and ye mind it well.",
        f"Och, ye keep yer {thing} dry, lad.",
        f"Nay, lad, 'tis the {thing} that minds ye.",
    ]


def bare(thing: str) -> list[str]:
    return [
        f"The {thing} is old and should be maintained with care.",
        f"It is advisable to store a {thing} in a dry place.",
        f"A {thing} can be useful for many people in general.",
    ]


IN_VOICE, PLAIN = (
    "Aye, 'tis yer auld {thing}, lad, and ye mind it.",
    "A {thing} is a device that many people use in general.",
)


def test_gates_that_can_be_reached_are_not_spoken_of(tmp_path: Path) -> None:
    found = course(IN_VOICE, "name: x", tmp_path)
    scorer = scorer_of_rows(found)
    assert scorer is not None and scorer.style.separable
    assert unreachable(found, ThresholdsConfig(), scorer) == []
    assert unreachable(found, ThresholdsConfig(), None) == []


def test_references_that_fail_their_own_gate_are_named(tmp_path: Path) -> None:
    found = course(PLAIN, "name: x", tmp_path)
    (said,) = unreachable(found, ThresholdsConfig(), scorer_of_rows(found))
    assert re.match(r"u/c/t0: the references themselves score voice 0\.\d\d, below thresholds\.voice = 0\.5", said)
    assert unreachable(found, ThresholdsConfig(voice=0.0), scorer_of_rows(found)) == []


def test_what_the_profile_avoids_counts_in_references_too(tmp_path: Path) -> None:
    found = course(IN_VOICE, "distinctions: [{name: not old, patterns: [auld lamp]}]", tmp_path)
    (said,) = unreachable(found, ThresholdsConfig(), scorer_of_rows(found))
    assert "u/c/t0: the references themselves score voice 0.00" in said


def test_rows_without_rejected_answers_wait_for_the_base_model(tmp_path: Path) -> None:
    found = course(IN_VOICE, "name: x", tmp_path)
    assert scorer_of_rows(replace(found, topics=tuple(replace(topic, pairs=()) for topic in found.topics))) is None


def test_few_questions_are_warned_of(tmp_path: Path) -> None:
    (said,) = question_warnings(course(IN_VOICE, "name: x", tmp_path))
    assert said.startswith("8 of 8 topics have fewer than 5 questions, u/c/t0 among them (1)")


def test_a_base_whose_answers_are_sick_is_warned_of() -> None:
    rows = [
        {"topic": topic, "base": {"voice": 0.1, "accuracy": 0.1, "health": health}}
        for topic, health in ((ONE, "ok"), (TWO, "repeating"))
    ]
    assert base_warnings(rows, ThresholdsConfig()) == [
        f"the base model's answers are not healthy in 1 of 2 topics (repeating in {TWO})"
    ]


# --- history and summary


def journal(*events: e.Event, start: float = 100.0) -> list[Record]:
    return [Record(seq, start + seq, event) for seq, event in enumerate(events)]


INFOS = tuple(e.TopicInfo(id, f"title of {id}", 8, 6, 3) for id in (ONE, TWO, THREE))
OPENING = (
    e.RunStarted("night", "quick", 7, 1, {"mlx": "1"}),
    e.CurriculumLoaded(INFOS, ()),
    *(scored(0.5, 0.0, id, "before") for id in (ONE, TWO, THREE)),
)


def adapter(topic: str, phase: Any, state: Any) -> e.AdapterChanged:
    return e.AdapterChanged(topic, phase, state, 8, 2.0, 3, 10, 10, 100, "b", "m", 1)


def phase(topic: str, name: Any, end: str, *after: e.Event) -> tuple[e.Event, ...]:
    began = e.PhaseStarted(topic, name, 6, 8, 100, 200)
    return (began, adapter(topic, name, "attached"), *after, adapter(topic, name, end))


NIGHT = (
    *OPENING,
    e.TopicStarted(ONE, 1, 3),
    *phase(ONE, "sft", "fused", scored(0.7, 0.6, ONE, "sft", preference_accuracy=0.5)),
    e.Decided(ONE, "run_dpo", "because"),
    *phase(ONE, "dpo", "fused", scored(0.8, 0.9, ONE, "dpo", preference_accuracy=1.0, heldout_margin=0.25)),
    e.TopicFinished(ONE, "passed", "well", 60.04),
    e.TopicStarted(TWO, 2, 3),
    scored(0.5, 0.2, TWO, "start"),
    *phase(TWO, "sft", "kept_attached", scored(0.6, 0.6, TWO, "sft", preference_accuracy=1.0)),
    *phase(TWO, "dpo", "rolled_back", scored(0.1, 0.1, TWO, "dpo", preference_accuracy=0.5, heldout_margin=-0.05)),
    e.TopicFinished(TWO, "below_threshold", "accuracy 0.60 < 0.7", 70.0),
)


def test_a_summary_tells_each_stage_from_what_was_not_run() -> None:
    found = summarize(journal(*NIGHT), 1, "fp", 123.456)
    head = ("run", "config", "seed", "exit_status", "fingerprint", "seconds", "passed", "of")
    assert {key: found[key] for key in head} == dict(
        run="night", config="quick", seed=7, exit_status=1, fingerprint="fp", seconds=123.5, passed=1, of=3
    )
    one, two, three = found["topics"]
    assert (one["verdict"], one["seconds"], one["attempts"]) == ("passed", 60.0, 1)
    assert (one["before"]["voice"], one["after_sft"]["voice"], one["after_dpo"]["voice"]) == (0.0, 0.6, 0.9)
    assert one["start"] is None and one["at_end"] == one["after_dpo"]
    assert one["decisions"] == [{"decision": "run_dpo", "reason": "because"}]
    assert (two["sft"], two["dpo"], two["at_end"]) == ("kept_attached", "rolled_back", two["after_sft"])
    assert two["title"] == f"title of {TWO}"
    assert (three["verdict"], three["reason"], three["after_sft"], three["at_end"]) == ("not_run", None, None, None)
    assert three["before"]["accuracy"] == 0.5
    assert found["dpo"] == {
        "ran": 2,
        "kept": 1,
        "rolled_back": 1,
        "mean_heldout_margin": 0.1,
        "lowered_preference_accuracy": [],
    }
    assert found["mean"]["passed"] == 1 and found["mean"]["before"]["accuracy"] == 0.5
    assert found["mean"]["at_end"]["accuracy"] == pytest.approx(0.7)
    assert {key: value["topics"] for key, value in found["units"].items()} == {"unit-01": 2, "unit-02": 1}
    assert found["units"]["unit-02"]["at_end"] == dict.fromkeys(("accuracy", "voice", "combined"))
    assert list(found["chapters"]) == ["unit-01/chapter-01", "unit-02/chapter-01"]


def test_a_summary_is_json_even_of_numbers_that_are_not_finite() -> None:
    events = (*OPENING, e.TopicStarted(ONE, 1, 3), scored(0.5, 0.5, ONE, "dpo", heldout_margin=math.nan))
    events += (e.Checkpointed(ONE, "dpo", 1, math.inf, 1), e.Checkpointed(ONE, "dpo", 2, 0.5, 1))
    events += (e.TopicFinished(ONE, "passed", "good", math.nan),)
    found = summarize(journal(*events), 1, "fp", 1.0)
    assert found["overhead"]["checkpoint_seconds"] == 0.5 and found["topics"][0]["seconds"] is None
    assert found["topics"][0]["after_dpo"]["heldout_margin"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_was_rolled_back_or_skipped_ends_where_it_began() -> None:
    events = (
        *OPENING,
        e.TopicStarted(ONE, 1, 3),
        *phase(ONE, "sft", "rolled_back", scored(0.1, 0.1, ONE, "sft")),
        e.TopicFinished(ONE, "below_threshold", "poor", 1.0),
        e.TopicStarted(TWO, 2, 3),
        scored(0.55, 0.05, TWO, "start"),
        *phase(TWO, "sft", "detached"),
        e.TopicFinished(TWO, "skipped", "skipped by ann", 1.0),
    )
    one, two, _ = summarize(journal(*events), 1, "fp", 1.0)["topics"]
    assert one["at_end"] == one["before"]
    assert two["at_end"] == two["start"] and two["at_end"]["accuracy"] == 0.55


def test_a_second_attempt_replaces_the_first_and_keeps_what_was_before() -> None:
    events = (
        *NIGHT,
        e.TopicStarted(TWO, 2, 3, attempt=2),
        *phase(TWO, "sft", "fused", scored(0.9, 0.9, TWO, "sft")),
        e.TopicFinished(TWO, "passed", "now", 5.0),
    )
    two = summarize(journal(*events), 1, "fp", 1.0)["topics"][1]
    assert (two["verdict"], two["attempts"], two["dpo"], two["after_dpo"]) == ("passed", 2, None, None)
    assert (two["at_end"]["accuracy"], two["before"]["accuracy"]) == (0.9, 0.5)
    history = read_history(journal(*events))
    assert (history.topics[TWO].attempt, history.topics[TWO].settled) == (2, {"sft": "kept"})
    assert history.finished[TWO].verdict == "passed"


def test_an_unknown_line_changes_no_summary_and_no_history() -> None:
    noise = e.Unknown("dreamed", "of sheep")
    mixed = journal(*(item for event in NIGHT for item in (event, noise)))
    assert summarize(mixed, 1, "fp", 1.0) == summarize(journal(*NIGHT), 1, "fp", 1.0)
    assert read_history(mixed).finished == read_history(journal(*NIGHT)).finished


def test_history_of_nothing() -> None:
    found = read_history([])
    assert (found.current, found.before, found.finished, found.seconds) == (None, {}, {}, 0.0)


def test_history_knows_what_is_settled_at_each_moment() -> None:
    records = journal(*NIGHT)
    seen = [read_history(records[: n + 1]) for n in range(len(records))]
    at = {type(r.event).__name__ + getattr(r.event, "topic", "")[-2:]: n for n, r in enumerate(records)}
    assert seen[4].current is None and set(seen[4].before) == {ONE, TWO, THREE}
    assert seen[5].current == ONE and seen[5].topics[ONE].settled == {}
    fused = next(n for n, r in enumerate(records) if getattr(r.event, "state", "") == "fused")
    assert seen[fused - 1].topics[ONE].settled == {}, "attached is not settled"
    assert seen[fused].topics[ONE].settled == {"sft": "kept"}
    assert seen[fused].topics[ONE].evaluated["sft"].voice == 0.6
    assert seen[-1].topics[TWO].seq == records[at["TopicStarted02"]].seq, "where it began"
    assert seen[at["TopicFinished02"]].current is None
    assert {id: f.verdict for id, f in seen[-1].finished.items()} == {ONE: "passed", TWO: "below_threshold"}
    assert seen[-1].topics[TWO].settled == {"sft": "kept", "dpo": "rolled_back"}
    assert seen[-1].seconds == len(records) - 1


def test_history_knows_which_deltas_are_in_the_model() -> None:
    dropped = structs.replace(phase(TWO, "sft", "rolled_back")[-1], model_fingerprint="without")
    events = (*NIGHT, *phase(THREE, "sft", "kept_attached"), dropped)
    found = [read_history(journal(*events[:end])) for end in (len(NIGHT), len(events) - 1, len(events))]
    kept = {(ONE, "sft"), (ONE, "dpo"), (TWO, "sft")}
    assert found[0].committed == kept
    assert found[1].committed == kept | {(THREE, "sft")}
    assert found[2].committed == {(ONE, "sft"), (ONE, "dpo"), (THREE, "sft")} and found[2].model == "without"


def test_a_reevaluation_changes_no_stage() -> None:
    events = (
        *OPENING,
        e.TopicStarted(ONE, 1, 3),
        scored(0.9, 0.9, ONE, "reevaluated"),
        scored(0.9, 0.9, TWO, "reevaluated"),
    )
    assert read_history(journal(*events)).topics[ONE].evaluated == {}
    assert read_history(journal(*events)).before[TWO].accuracy == 0.5


def test_roll_backs_of_dpo_are_counted_in_a_row_as_the_run_counts_them() -> None:
    def run(*ends: str) -> int:
        events: list[e.Event] = []
        for end in ends:
            state, _, how = end.partition(" ")
            after = () if how == "unscored" else (scored(stage="dpo"),)
            events += [
                e.TopicStarted(ONE, 1, 3),
                *phase(ONE, "dpo", state, *after),
                e.TopicFinished(ONE, "error", "", 1.0),
            ]
        return read_history(journal(*events)).dpo_rolled_back

    assert run("rolled_back", "rolled_back") == 2
    assert run("rolled_back", "fused", "rolled_back") == 1
    assert run("rolled_back", "kept_attached") == 0
    assert run("rolled_back", "detached", "rolled_back") == 2, "a person's skip says nothing about DPO"
    assert run("rolled_back", "detached unscored") == 1
    assert run("rolled_back unscored") == 0, "an error is not the policy's roll-back"


def taken(kind: str, outcome: Any = "done", topic: str | None = None) -> e.CommandTaken:
    return e.CommandTaken(f"id-{kind}-{topic}-{outcome}", kind, outcome, "", topic)


def test_what_people_asked_for_outlives_the_process() -> None:
    asked = (taken("skip", topic=THREE), taken("skip", "refused", ONE), taken("retry", topic=ONE), taken("stop"))
    found = read_history(journal(*NIGHT, *asked))
    assert (found.skipped, found.retries) == ({THREE}, [ONE])
    assert found.answered == {command.id for command in asked}
    later = (e.TopicStarted(ONE, 1, 3, 2), e.TopicFinished(THREE, "skipped", "by ann", 0.0))
    found = read_history(journal(*NIGHT, *asked, *later))
    assert (found.skipped, found.retries, found.current) == (set(), [], None)


def test_a_skip_takes_a_retry_back_that_waits() -> None:
    found = read_history(journal(*NIGHT, taken("retry", topic=ONE), taken("skip", topic=ONE)))
    assert (found.skipped, found.retries) == (set(), []) and found.finished[ONE].verdict == "passed"


DROPPED = (adapter(ONE, "sft", "rolled_back"), adapter(ONE, "dpo", "rolled_back"))


@pytest.mark.parametrize("said", [1, 2])
def test_what_a_retry_has_dropped_has_no_verdict_and_no_score_of_its_training(said: int) -> None:
    events = (*NIGHT, taken("retry", topic=ONE), *DROPPED[:said])
    found = read_history(journal(*events))
    assert set(found.finished) == {TWO} and found.retries == []
    assert found.dpo_rolled_back == read_history(journal(*NIGHT)).dpo_rolled_back, (
        "a person's retry says nothing of DPO"
    )
    one = summarize(journal(*NIGHT, *DROPPED), 130, "fp", 1.0)["topics"][0]
    assert (one["sft"], one["dpo"], one["at_end"]) == ("rolled_back", "rolled_back", one["before"])


def test_a_pause_and_its_end_are_known_by_their_answers_alone() -> None:
    """A death may come between the answer and the event that says it again, with who asked."""
    seen = [taken("pause"), e.Paused("ann@tty1"), taken("resume"), e.Resumed("ann@tty1")]
    assert [read_history(journal(*NIGHT, *seen[:count])).paused for count in range(5)] == [
        None,
        "a person",
        "ann@tty1",
        None,
        None,
    ]
    assert read_history(journal(*NIGHT, taken("pause", "refused"))).paused is None


def test_what_was_asked_of_an_engine_that_died_outlives_the_next_one_too() -> None:
    """It may die while it loads; and a person who resumes wants the run to go on."""
    asked = (*NIGHT, taken("pause"), taken("stop"), e.EngineDied(None, "SIGKILL", 1))
    after_a_death = e.EngineRestarted(None, "SIGKILL", 1)
    found = read_history(journal(*asked, after_a_death, e.EngineDied(None, "SIGKILL", 2)))
    assert found.paused == "a person" and found.stopping and found.died is not None
    found = read_history(journal(*asked, after_a_death, e.EngineRestarted(None, None, 1)))
    assert (found.paused, found.stopping, found.died) == (None, False, None)


def test_a_phase_that_failed_has_failed_and_what_took_it_off_is_no_decision() -> None:
    failed = e.Failed(f"{ONE} dpo", "ValueError: no", "", ONE, "dpo")
    begun = (*OPENING, e.TopicStarted(ONE, 1, 3), scored(stage="dpo"), failed)
    found = read_history(journal(*begun, adapter(ONE, "dpo", "rolled_back"), e.Failed("", "and then", "", ONE, "dpo")))
    assert (found.topics[ONE].failed, found.dpo_rolled_back) == ("ValueError: no", 0)
    assert read_history(journal(*begun, e.TopicStarted(ONE, 1, 3, 2))).topics[ONE].failed is None
    elsewhere = e.Failed(f"{ONE} reevaluated", "ValueError: no", "", ONE)
    assert read_history(journal(*begun[:-1], elsewhere)).topics[ONE].failed is None


OWED = (*OPENING, e.TopicStarted(ONE, 1, 3), e.Decided(ONE, "retry", ""), e.TopicFinished(ONE, "error", "", 1.0))


def test_a_retry_that_the_run_owes_waits_as_a_persons_does_and_is_one() -> None:
    found = read_history(journal(*OWED, taken("retry", topic=ONE)))
    assert (found.again, found.retries) == (ONE, [ONE]), "an older engine took a person's request for another one"
    found = read_history(journal(*OWED, taken("skip", topic=ONE)))
    assert (found.again, found.retries, found.skipped) == (None, [], set())
    found = read_history(journal(*OWED, taken("skip", topic=ONE), taken("retry", topic=ONE)))
    assert (found.again, found.retries) == (None, [ONE])
    found = read_history(journal(*OWED, DROPPED[0]))
    assert (found.again, found.retries) == (ONE, []), "it has begun, and cannot be taken back"
    found = read_history(journal(*OWED, e.TopicFinished(ONE, "error", "once more, before it began", 1.0)))
    assert (found.again, found.retries) == (None, [])


def test_a_retry_that_was_decided_before_a_death_is_decided_again() -> None:
    (*begun, finished), restored = OWED, e.Restored(0, "")
    assert read_history(live(journal(*begun, restored, finished))).again is None


def test_a_prediction_stands_beside_the_time_of_a_whole_run_alone() -> None:
    def topic(id: str, verdict: Any = "passed") -> tuple[e.Event, ...]:
        return e.TopicStarted(id, 1, 3), *phase(id, "sft", "fused"), e.TopicFinished(id, verdict, "", 1.0)

    def told(*events: e.Event) -> tuple[float | None, float | None]:
        found = summarize(journal(*OPENING, e.Predicted(100.0, 60.0, "a guess"), *events), 1, "fp", 30.0)["prediction"]
        assert found["at_start"] == 100.0
        return found["of_what_ran"], found["ratio"]

    assert told(*topic(ONE), *topic(TWO, "error"), *topic(THREE)) == (60.0, 2.0)
    assert told(*topic(ONE)) == told(*topic(ONE), *topic(TWO), *topic(THREE)[:-1]) == (None, None)
    left_out = e.TopicFinished(THREE, "skipped", "skipped by ann before it began", 0.0)
    assert told(*topic(ONE), *topic(TWO), left_out) == (None, None)
