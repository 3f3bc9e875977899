"""Pure decisions: keep or roll back, run DPO or not, passed or not; each returns its reason in words."""

from dataclasses import dataclass
from typing import Literal

from engine.contract.journal.events import Evaluated
from engine.contract.settings.config import DpoConfig, Strategy, ThresholdsConfig
from engine.contract.vocabulary import GATES, PASSED, SETTLED, Verdict, health_label


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and a sentence with the numbers."""

    decision: Literal["run_dpo", "skip_dpo", "roll_back", "keep", "retry"]
    reason: str


def after_phase(before: Evaluated, after: Evaluated, limits: ThresholdsConfig) -> Decision:
    """Keeps a phase unless it broke the answers or made the topic worse than it was before the phase."""
    numbers = f"combined {before.combined:.2f} -> {after.combined:.2f}, voice {before.voice:.2f} -> {after.voice:.2f}"
    if collapsed(before, after):
        return Decision("roll_back", f"the answers became {health_label(after.health)} ({numbers})")
    if not after.combined >= before.combined - limits.worse:  # written so that a NaN is worse, too
        return Decision("roll_back", f"worse by more than {limits.worse:g}: {numbers}")
    return Decision("keep", numbers)


def collapsed(before: Evaluated, after: Evaluated) -> bool:
    """Whether a phase broke the answers: sick after it, and not before it."""
    return after.health != "ok" and before.health == "ok"


def after_dpo(before: Evaluated, after: Evaluated, limits: ThresholdsConfig) -> Decision:
    """As after_phase; a DPO phase must moreover raise the held-out margin and lower no preference accuracy."""
    general = after_phase(before, after, limits)
    if general.decision == "roll_back":
        return general
    margin, was, now = after.heldout_margin, before.preference_accuracy, after.preference_accuracy
    if was is not None and now is not None and now < was:
        return Decision("roll_back", f"held-out preference accuracy fell {was:.2f} -> {now:.2f}")
    if margin is not None and not margin > 0:
        return Decision("roll_back", f"the held-out margin did not rise ({margin:+.4f})")
    shown = "" if margin is None else f", held-out margin {margin:+.3f}"
    return Decision("keep", general.reason + shown)


def gate(sft: Evaluated, dpo: DpoConfig, limits: ThresholdsConfig, strategy: Strategy, rolled_back: int) -> Decision:
    """Whether DPO runs after SFT; `rolled_back` counts the topics in a row whose DPO was rolled back."""
    accuracy, voice = sft.accuracy, sft.voice
    if strategy == "sft_only":
        return Decision("skip_dpo", "adapters.strategy is sft_only")
    if dpo.when == "never":
        return Decision("skip_dpo", "dpo.when is never")
    if 0 < dpo.give_up_after <= rolled_back:
        return Decision("skip_dpo", f"DPO was rolled back in {rolled_back} topics in a row; left out for this run")
    if dpo.when == "always":
        return Decision("run_dpo", "dpo.when is always")
    if accuracy < limits.accuracy:
        return Decision("skip_dpo", f"accuracy {accuracy:.2f} < {limits.accuracy:g}: the topic itself is not learned")
    if voice >= limits.dpo_trigger:
        return Decision("skip_dpo", f"voice {voice:.2f} >= {limits.dpo_trigger:g}: there is no need")
    return Decision(
        "run_dpo", f"accuracy {accuracy:.2f} >= {limits.accuracy:g} and voice {voice:.2f} < {limits.dpo_trigger:g}"
    )


def verdict(final: Evaluated, limits: ThresholdsConfig, broke: Evaluated | None = None) -> tuple[Verdict, str]:
    """The topic's verdict from the evaluation of what was kept; `broke` is that of an SFT that broke the answers.

    Such an SFT was rolled back, and the reason says so; where what is kept does not pass either, the topic collapsed.
    """
    numbers = f"accuracy {final.accuracy:.2f}, voice {final.voice:.2f}"
    if final.health != "ok":
        return "collapsed", f"the answers are {health_label(final.health)} ({numbers})"
    short = [
        f"{name} {value:.2f} < {limit:g}"
        for name in GATES
        if (value := getattr(final, name)) < (limit := getattr(limits, name))
    ]
    undone = f"; SFT made the answers {health_label(broke.health)} and was rolled back" if broke is not None else ""
    if short:
        return "below_threshold" if broke is None else "collapsed", " and ".join(short) + undone
    return PASSED, f"{numbers}; needed {limits.accuracy:g} and {limits.voice:g}{undone}"


def trouble(word: Verdict, collapsed: bool) -> Literal["collapsed", "failed"] | None:
    """What run.pause_on may ask a pause for: a phase that broke the answers, rolled back or not, or one that failed."""
    if word == "error":
        return "failed"
    return "collapsed" if collapsed or word == "collapsed" else None


def retry(word: Verdict, attempt: int, retries: int) -> Decision | None:
    """Whether a topic that did not pass is trained again; `attempt` counts from 1."""
    if word in SETTLED or attempt > retries:
        return None
    return Decision("retry", f"{word} at attempt {attempt}; {retries - attempt + 1} more allowed")
