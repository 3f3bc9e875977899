"""What an engine has said of its rules, added up: the console counts, and judges nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.contract.journal.events import RulesChecked


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How often a rule was found to hold and to be broken; the last number that it measured, and what it may be."""

    held: int = 0
    broken: int = 0
    found: float | None = None
    limit: float | None = None

    @property
    def checked(self) -> int:
        return self.held + self.broken


RuleCounts = Mapping[str, RuleCount]


def added(counts: RuleCounts, event: RulesChecked) -> dict[str, RuleCount]:
    """The counts with those of one event more, by the names of the rules."""
    total = dict(counts)
    for rule in dict.fromkeys((*event.held, *event.broken)):
        old = total.get(rule, RuleCount())
        held, broken = old.held + event.held.get(rule, 0), old.broken + event.broken.get(rule, 0)
        found, limit = event.numbers.get(rule, (old.found, old.limit))
        total[rule] = RuleCount(held, broken, found, limit)
    return total
