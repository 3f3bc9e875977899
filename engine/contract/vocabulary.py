"""The words of a run, one table each: phases, stages, verdicts, states of an adapter, health, scores.

A new word is a row of its table and a member of the Literal above it; the order of the rows is the order on the screen.
Labels are for people, names stand in journals and never change. `role` is a colour of the console, `colour` one of the
report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Phase = Literal["sft", "dpo"]
Stage = Literal["before", "start", "sft", "dpo", "reevaluated"]
Verdict = Literal["passed", "below_threshold", "undecided", "not_trained", "collapsed", "skipped", "error"]
AdapterState = Literal["attached", "fused", "kept_attached", "detached", "rolled_back"]
Health = Literal["ok", "repeating", "empty", "special_tokens"]
Role = Literal["", "dim", "bold", "ok", "warn", "bad", "accent"]
Colour = Literal["before", "start", "supervised", "preference"]


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A way of training; one with `preference` learns from pairs, after a phase that learns from answers."""

    name: Phase
    label: str
    colour: Colour
    preference: bool = False


PHASES: dict[Phase, PhaseRow] = {
    row.name: row
    for row in (
        PhaseRow("sft", "SFT", "supervised"),
        PhaseRow("dpo", "DPO", "preference", preference=True),
    )
}
SUPERVISED = tuple(name for name, row in PHASES.items() if not row.preference)
PREFERENCE = tuple(name for name, row in PHASES.items() if row.preference)


@dataclass(frozen=True, slots=True)
class StageRow:
    """A moment at which a topic is scored: after `phase`, of the same name, if it is one after a phase.

    `summary` is its key in summary.json. A stage that is `repeated` is scored whenever a person asks, and belongs to no
    attempt; any other is scored once an attempt.
    """

    name: Stage
    label: str
    short: str
    summary: str
    colour: Colour
    phase: Phase | None = None
    repeated: bool = False


STAGES: dict[Stage, StageRow] = {
    row.name: row
    for row in (
        StageRow("before", "before", "before", "before", "before"),
        StageRow("start", "at the start", "start", "start", "start"),
        StageRow("sft", "after SFT", "SFT", "after_sft", "supervised", phase="sft"),
        StageRow("dpo", "after DPO", "DPO", "after_dpo", "preference", phase="dpo"),
        StageRow("reevaluated", "scored again", "again", "reevaluated", "start", repeated=True),
    )
}
BASE: Stage = "before"  # the base model, which is scored once a run and holds for every attempt
START: Stage = "start"  # the model as the topics before left it
REEVALUATED: Stage = "reevaluated"  # whenever a person asks
ATTEMPT_STAGES = tuple(name for name, row in STAGES.items() if not row.repeated)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """What became of a topic. One that is `settled` is not tried again; `success` counts for exit status 0.

    `scored` verdicts come from an evaluation; `open` ones are neither a yes nor a no. `meaning` explains `mark` on
    the help page.
    """

    name: Verdict
    label: str
    short: str
    meaning: str
    mark: str
    role: Role
    settled: bool = False
    success: bool = False
    scored: bool = False
    open: bool = False


VERDICTS: dict[Verdict, VerdictRow] = {
    row.name: row
    for row in (
        VerdictRow("passed", "passed", "passed", "passed", "✓", "ok", settled=True, success=True, scored=True),
        VerdictRow("below_threshold", "below threshold", "below", "below its thresholds", "✗", "warn", scored=True),
        VerdictRow(
            "undecided",
            "undecided",
            "undecided",
            "too few questions to tell",
            "?",
            "accent",
            success=True,
            scored=True,
            open=True,
        ),
        VerdictRow(
            "not_trained", "not trained", "untrained", "nothing of it was kept", "○", "warn", scored=True, open=True
        ),
        VerdictRow("collapsed", "collapsed", "collapsed", "the answers collapsed", "☠", "bad", scored=True),
        VerdictRow("skipped", "skipped", "skipped", "skipped by a person", "»", "dim", settled=True, success=True),
        VerdictRow("error", "error", "error", "an error ended it", "!", "bad"),
    )
}
PASSED: Verdict = "passed"
UNDECIDED: Verdict = "undecided"
SETTLED = tuple(name for name, row in VERDICTS.items() if row.settled)  # after these nothing is repeated


@dataclass(frozen=True, slots=True)
class AdapterStateRow:
    """Where the adapter of a phase is. `settled` states end the phase; of a `kept` one it stays in the model."""

    name: AdapterState
    label: str
    mark: str
    role: Role
    settled: bool = True
    kept: bool = False


ADAPTER_STATES: dict[AdapterState, AdapterStateRow] = {
    row.name: row
    for row in (
        AdapterStateRow("attached", "attached", " ", "accent", settled=False),
        AdapterStateRow("fused", "fused", "✓", "bold", kept=True),
        AdapterStateRow("kept_attached", "kept attached", "✓", "warn", kept=True),
        AdapterStateRow("detached", "detached", "✗", "bold"),
        AdapterStateRow("rolled_back", "rolled back", "⟲", "warn"),
    )
}
KEPT = tuple(name for name, row in ADAPTER_STATES.items() if row.kept)  # how a phase is settled that is in the model


def last_kept(settled: Mapping[Phase, str | None]) -> Phase | None:
    """The last phase that is in the model, from the state in which each phase was settled."""
    return next((phase for phase in reversed(PHASES) if settled.get(phase) in KEPT), None)


@dataclass(frozen=True, slots=True)
class HealthRow:
    """What answers are: `label` completes "the answers are …"."""

    name: Health
    label: str
    short: str


HEALTH: dict[str, HealthRow] = {
    row.name: row
    for row in (
        HealthRow("ok", "healthy", "ok"),
        HealthRow("repeating", "repetitive", "repeats"),
        HealthRow("empty", "empty", "empty"),
        HealthRow("special_tokens", "full of special tokens", "specials"),
    )
}


def health_label(name: str) -> str:
    """What completes "the answers are …"; a word that the table does not have is shown as it is."""
    return HEALTH[name].label if name in HEALTH else name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A figure of an evaluation, a field of `Evaluated`; `column` heads a narrow table.

    A `headline` score is always measured and lies in [0, 1]; a `gate` is held against the threshold of its name. A
    score with `per_answer` is measured of every answer, too. `signed` scores are differences in nats, without bounds.
    """

    name: str
    label: str
    short: str
    column: str
    headline: bool = False
    gate: bool = False
    per_answer: bool = False
    signed: bool = False
    summarized: bool = True  # whether summary.json and the pages have it


SCORES: dict[str, ScoreRow] = {
    row.name: row
    for row in (
        ScoreRow("accuracy", "accuracy", "accuracy", "acc", headline=True, gate=True, per_answer=True),
        ScoreRow("voice", "voice", "voice", "voice", headline=True, gate=True, per_answer=True),
        ScoreRow("combined", "combined", "combined", "both", headline=True),
        ScoreRow("concepts", "concepts named", "concepts", "named", per_answer=True),
        ScoreRow("preference_accuracy", "preference accuracy", "preference", "pref"),
        ScoreRow("heldout_margin", "held-out margin", "margin", "margin", signed=True),
        ScoreRow("heldout_gap", "held-out gap", "gap", "gap", signed=True, summarized=False),
        ScoreRow("style", "style", "style", "style", per_answer=True),
        ScoreRow("closeness", "closeness", "closeness", "close", gate=True, per_answer=True),
        ScoreRow("relevance", "relevance", "relevance", "relev", per_answer=True, signed=True),
    )
}
COMPOSED = "voice"  # the score that `Evaluated.components` are parts of
HEADLINES = tuple(name for name, row in SCORES.items() if row.headline)
GATES = tuple(name for name, row in SCORES.items() if row.gate)
FIGURES = tuple(name for name, row in SCORES.items() if row.summarized)
PER_ANSWER = tuple(name for name, row in SCORES.items() if row.per_answer)


def score_label(name: str) -> str:
    """The short label of a score or of a part of one; a marker group of a voice is called as its author named it."""
    return SCORES[name].short if name in SCORES else name
