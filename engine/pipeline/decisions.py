"""Decisions about a topic: keep or roll back, run DPO, verdict, retry.

All are pure functions, and all but `pause_reason`, `collapsed` and `estimate` return a sentence with the reason.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.contract.intervals import Estimate, decide, worse
from engine.contract.journal.events import Evaluated
from engine.contract.settings.config import DpoConfig, Strategy, ThresholdsConfig
from engine.contract.vocabulary import GATES, PASSED, SETTLED, UNDECIDED, Verdict, health_label

UNKNOWN = (math.nan, math.nan)  # the interval of a mean with unknown spread


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision, and a sentence with the numbers behind it."""

    decision: Literal["run_dpo", "skip_dpo", "roll_back", "keep", "retry"]
    reason: str


def after_phase(
    before: Evaluated, after: Evaluated, changes: Mapping[str, Estimate], limits: ThresholdsConfig
) -> Decision:
    """Keeps a phase unless it broke the answers or made them worse.

    `changes` are the paired changes of the answers with their intervals. The phase is rolled back only if a change for
    the worse is certain beyond its interval. Scores that were not measured are missing from `changes`.
    """
    numbers = f"combined {before.combined:.2f} -> {after.combined:.2f}, {_change('voice', before, after)}"
    if after.closeness is not None:
        numbers += f", {_change('closeness', before, after)}"
    if collapsed(before, after):
        subject = _subject(before, after, limits)
        became = f"the answers became {health_label(after.health)}" + (f"; they {subject}" if subject else "")
        return Decision("roll_back", f"{became} ({numbers})")
    if not math.isfinite(after.combined):
        return Decision("roll_back", f"the scores are no numbers ({numbers})")
    for name in ("combined", "closeness"):
        if name in changes and worse(changes[name], limits.worse):
            return Decision("roll_back", f"{name} changed by {changes[name]}, more than {limits.worse:g}: {numbers}")
    if "loops" in changes and changes["loops"].low > 0:
        return Decision("roll_back", f"more answers repeat themselves, a share of {changes['loops']}: {numbers}")
    if "relevance" in changes and worse(changes["relevance"], 0.0):
        return Decision("roll_back", f"relevance changed by {changes['relevance']} nats a token: {numbers}")
    return Decision("keep", numbers)


def collapsed(before: Evaluated, after: Evaluated) -> bool:
    """Tells whether a phase broke the answers: healthy before it, and not healthy after it."""
    return after.health != "ok" and before.health == "ok"


def after_dpo(
    before: Evaluated,
    after: Evaluated,
    changes: Mapping[str, Estimate],
    margin: Estimate | None,
    limits: ThresholdsConfig,
) -> Decision:
    """Decides as after_phase does, with one more condition: the margin of the held-out pairs must rise.

    It is enough if the interval of the margin still contains a rise. `margin` is the mean over the pairs, None if there
    are none.
    """
    general = after_phase(before, after, changes, limits)
    if general.decision == "roll_back" or margin is None:
        return general
    shown = f"{margin.mean:+.3f}" if math.isnan(margin.low) else f"{margin.mean:+.3f} ± {margin.half_width:.3f}"
    shown = f"held-out margin {shown} ({margin.n})"
    if not margin.mean > 0 and not margin.high > 0:  # written so that a NaN does not count as a rise
        return Decision("roll_back", f"the {shown} did not rise")
    return Decision("keep", f"{general.reason}, {shown}")


def gate(
    sft: Evaluated, dpo: DpoConfig, limits: ThresholdsConfig, strategy: Strategy, rolled_back: int, pairs: bool = True
) -> Decision:
    """Decides whether DPO runs after SFT. `rolled_back` counts the consecutive topics with a rolled-back DPO.

    `pairs` tells whether there are pairs to train on; the foundation has none.
    """
    accuracy, voice = sft.accuracy, sft.voice
    if strategy == "sft_only":
        return Decision("skip_dpo", "adapters.strategy is sft_only")
    if dpo.when == "never":
        return Decision("skip_dpo", "dpo.when is never")
    if not pairs:
        return Decision("skip_dpo", "it has no pairs: the foundation learns from rows")
    if 0 < dpo.give_up_after <= rolled_back:
        return Decision("skip_dpo", f"DPO was rolled back in {rolled_back} topics in a row; left out for this run")
    if dpo.when == "always":
        return Decision("run_dpo", "dpo.when is always")
    if accuracy < limits.accuracy:
        return Decision("skip_dpo", f"accuracy {accuracy:.2f} < {limits.accuracy:g}: the topic itself is not learned")
    if voice >= limits.dpo_trigger:
        return Decision("skip_dpo", f"voice {voice:.2f} >= {limits.dpo_trigger:g}: there is no need")
    near = f"accuracy {accuracy:.2f} >= {limits.accuracy:g} and " if limits.accuracy else ""
    return Decision("run_dpo", f"{near}voice {voice:.2f} < {limits.dpo_trigger:g}")


def verdict(
    final: Evaluated, limits: ThresholdsConfig, in_model: bool = True, broke: Evaluated | None = None
) -> tuple[Verdict, str]:
    """Returns the topic's verdict and reason from the evaluation of the kept state.

    `in_model` tells whether the model contains any training of the topic. If not, no score is a result of training.
    `broke` is the evaluation of an SFT that broke the answers and was rolled back; the reason then mentions it.
    """
    scores = {name: estimate(final, name) for name in GATES if _measured(final, name)}
    numbers = ", ".join(f"{name} {score}" for name, score in scores.items())
    if not in_model:
        how = (
            f"SFT made the answers {health_label(broke.health)} and was rolled back" if broke else "SFT was rolled back"
        )
        subject = _subject(final, broke, limits) if broke else ""
        said = f"; SFT's answers {subject}" if subject else ""
        return "not_trained", f"{how}, and nothing of the topic is in the model ({numbers}){said}"
    if final.health != "ok":
        return "collapsed", f"the answers are {health_label(final.health)} ({numbers})"
    needed = {name: getattr(limits, name) for name in GATES if getattr(limits, name) > 0}
    words = {name: decide(estimate(final, name), limit) for name, limit in needed.items()}
    if short := [name for name, word in words.items() if word == "below_threshold"]:
        return "below_threshold", " and ".join(f"{name} {scores[name]} < {needed[name]:g}" for name in short)
    asked = " and ".join(f"{name} {limit:g}" for name, limit in needed.items()) or "nothing"
    if unsure := [name for name, word in words.items() if word == "undecided"]:
        return UNDECIDED, f"{numbers}; needed {asked}: {' and '.join(unsure)} cannot be told from the threshold"
    return PASSED, f"{numbers}; needed {asked}"


def forgotten(word: Verdict, final: Evaluated, limits: ThresholdsConfig) -> bool:
    """Tells whether a topic that passed or was undecided is decided, in the final exam, to have failed."""
    return word in (PASSED, UNDECIDED) and verdict(final, limits)[0] in ("below_threshold", "collapsed")


def estimate(found: Evaluated, name: str) -> Estimate:
    """Returns a mean of an evaluation with its interval; NaN if it was not measured."""
    value = getattr(found, name)
    return Estimate(math.nan if value is None else value, *found.intervals.get(name, UNKNOWN), found.questions)


def _measured(found: Evaluated, name: str) -> bool:
    return getattr(found, name) is not None


def _change(name: str, before: Evaluated, after: Evaluated) -> str:
    """Formats a change, for example `voice 0.10 -> 0.70 ± 0.21 (3)`."""
    was = getattr(before, name)
    return f"{name} {'-' if was is None else f'{was:.2f}'} -> {estimate(after, name)}"


def _subject(before: Evaluated, after: Evaluated, limits: ThresholdsConfig) -> str:
    """Tells whether answers that repeat themselves keep to their subject. If so, the cause may be greedy decoding."""
    if after.health != "repeating" or before.closeness is None or after.closeness is None:
        return ""
    return "keep to the subject" if after.closeness >= before.closeness - limits.worse else "lose the subject"


def pause_reason(word: Verdict, collapsed: bool) -> Literal["collapsed", "failed"] | None:
    """Returns the trouble for which run.pause_on may pause the run, or None.

    It is `failed` if the attempt failed, and `collapsed` if a phase broke the answers, even if it was rolled back.
    """
    if word == "error":
        return "failed"
    return "collapsed" if collapsed or word == "collapsed" else None


def retry(word: Verdict, attempt: int, retries: int) -> Decision | None:
    """Decides whether a topic that did not pass is trained again. `attempt` counts from 1."""
    if word in (*SETTLED, UNDECIDED) or attempt > retries:  # an undecided topic needs more questions, not a retry
        return None
    return Decision("retry", f"{word} at attempt {attempt}; {retries - attempt + 1} more allowed")
