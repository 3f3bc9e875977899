"""Tables of a run's fixed names: phases, stages, verdicts, adapter states, health, scores.

To add a name, add a row to its table and a member to the Literal above it. The rows are in the order of the screen.
Labels are for people. Names are stored in journals and never change. `role` is a colour of the console, `colour` a
colour of the report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Phase = Literal["sft", "dpo"]
Stage = Literal["before", "start", "sft", "dpo", "final", "reevaluated"]
Verdict = Literal["passed", "below_threshold", "undecided", "not_trained", "collapsed", "skipped", "error"]
AdapterState = Literal["attached", "fused", "kept_attached", "detached", "rolled_back"]
Health = Literal["ok", "repeating", "empty", "special_tokens"]
Role = Literal["", "dim", "bold", "ok", "warn", "bad", "accent"]
Colour = Literal["before", "start", "supervised", "preference", "final"]


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A training phase. A `preference` phase learns from pairs, and follows a phase that learns from answers."""

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
    """A moment at which a topic is scored; `phase` is set if it comes after the phase of the same name.

    `summary` is its key in summary.json. A `repeated` stage is scored whenever a person asks. The stages `before` and
    `final` are scored once per run, any other stage once per attempt.
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
        StageRow("final", "final exam", "final", "final", "final"),
        StageRow("reevaluated", "scored again", "again", "reevaluated", "start", repeated=True),
    )
}
BASE: Stage = "before"  # the base model: scored once per run, valid for every attempt
START: Stage = "start"  # the model as the earlier topics left it
FINAL: Stage = "final"  # the model that the run leaves: scored once per run, on every topic
REEVALUATED: Stage = "reevaluated"  # scored whenever a person asks
ATTEMPT_STAGES = tuple(name for name, row in STAGES.items() if not row.repeated and name != FINAL)
SCORED_STAGES = (*ATTEMPT_STAGES, FINAL)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The outcome of a topic. A `settled` one is not tried again; a `success` counts for exit status 0.

    `scored` verdicts come from an evaluation. `open` verdicts are neither a yes nor a no. `meaning` explains `mark` on
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
FOUNDATION = "foundation/all/rows"  # id of the first phase, which trains on the rows of all topics together
PASSED: Verdict = "passed"
UNDECIDED: Verdict = "undecided"
BELOW: Verdict = "below_threshold"
SETTLED = tuple(name for name, row in VERDICTS.items() if row.settled)  # topics with these verdicts are not repeated


def is_success(topic: str, verdict: str) -> bool:
    """Tells whether a verdict counts for exit status 0. The foundation is no topic: it only has to be in the model."""
    return any(row.success for row in VERDICTS.values() if row.name == verdict) or (
        topic == FOUNDATION and verdict == BELOW
    )


@dataclass(frozen=True, slots=True)
class AdapterStateRow:
    """The state of a phase's adapter. A `settled` state ends the phase; in a `kept` one it stays in the model."""

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
KEPT = tuple(name for name, row in ADAPTER_STATES.items() if row.kept)  # settled states of a phase that is in the model


def last_kept(settled: Mapping[Phase, str | None]) -> Phase | None:
    """Returns the last phase that is in the model, given the state in which each phase was settled."""
    return next((phase for phase in reversed(PHASES) if settled.get(phase) in KEPT), None)


@dataclass(frozen=True, slots=True)
class HealthRow:
    """The health of answers: `label` completes "the answers are …"."""

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
    """Returns the text that completes "the answers are …"; for an unknown name, the name itself."""
    return HEALTH[name].label if name in HEALTH else name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score of an evaluation, in the field of `Evaluated` with the same name; `column` heads a narrow table.

    A `headline` score is always measured and lies in [0, 1]. A `gate` is compared with the threshold of the same name.
    A `per_answer` score is also measured for every answer. A `signed` score is a difference in nats, without bounds.
    A score that is not `bounded` is a loss in nats, at least 0.
    """

    name: str
    label: str
    short: str
    column: str
    headline: bool = False
    gate: bool = False
    per_answer: bool = False
    signed: bool = False
    bounded: bool = True
    summarized: bool = True  # whether summary.json and the pages show it


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
        ScoreRow("language_loss", "loss of neutral text", "language", "lang", bounded=False),
    )
}
COMPOSED = "voice"  # the score that `Evaluated.components` are parts of
HEADLINES = tuple(name for name, row in SCORES.items() if row.headline)
GATES = tuple(name for name, row in SCORES.items() if row.gate)
FIGURES = tuple(name for name, row in SCORES.items() if row.summarized)
PER_ANSWER = tuple(name for name, row in SCORES.items() if row.per_answer)


COPY = "a copy of a training row"  # the reason why such an answer is void


def score_label(name: str) -> str:
    """Returns the short label of a score or of its part; a voice's marker group keeps its author's name."""
    return SCORES[name].short if name in SCORES else name
