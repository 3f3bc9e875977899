"""The score of one answer: voice and its parts, closeness, relevance, and the reason for a low voice."""

from dataclasses import dataclass

from engine.evaluation.score.parts.health import Health
from engine.evaluation.score.parts.likelihood import Likelihood
from engine.evaluation.score.parts.style import StyleScore
from engine.evaluation.score.profile_claims import Violations

PASSES = 0.5  # an answer passes with at least this voice, on the calibrated scale


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """All parts of one answer's score.

    `voice` = healthy x not void x not unlikely x style x the factor for violations of voice.yaml. It does not measure
    whether the answer makes sense. `void` and `unlikely` are reasons as text, or None. `closeness` and `relevance` are
    None if they could not be measured. They are shown with the voice but are not part of it.
    """

    voice: float
    style: StyleScore
    health: Health
    void: str | None
    unlikely: str | None
    violations: Violations
    closeness: float | None
    likelihood: Likelihood | None

    @property
    def healthy(self) -> bool:
        """Tells whether the answer is text that does not repeat itself."""
        return self.health.healthy

    @property
    def relevance(self) -> float | None:
        """Relevance in nats per token: a number for the mean of many answers, not for one."""
        return self.likelihood.relevance if self.likelihood else None

    @property
    def passes(self) -> bool:
        """Tells whether the answer is in the voice."""
        return self.voice >= PASSES

    @property
    def reason(self) -> str | None:
        """Returns the reason why the voice is 0 or reduced, or None if style is the only reason."""
        if self.violations.confused:
            name, quote = self.violations.confused[0]
            claim = f'says "{quote}", against: {name}'
        else:
            claim = "; ".join(f'says "{quote}", which this voice avoids' for quote in self.violations.avoided)
        return self.health.reason or self.void or self.unlikely or claim or None


def combine(
    style: StyleScore,
    health: Health,
    void: str | None,
    unlikely: str | None,
    violations: Violations,
    penalty: float,
    closeness: float | None,
    likelihood: Likelihood | None,
) -> AnswerScore:
    """Computes the voice from the parts, and returns the whole score."""
    whole = health.healthy and void is None and unlikely is None
    voice = style.value * violations.factor(penalty) if whole else 0.0
    return AnswerScore(voice, style, health, void, unlikely, violations, closeness, likelihood)
