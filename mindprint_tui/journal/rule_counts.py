"""Counts of the engine's rule checks. The console only adds them up and judges nothing."""

from collections.abc import Mapping

from msgspec import Struct

from engine.contract.journal.events import RulesChecked


class RuleCount(Struct, frozen=True):
    """How often a rule held and was broken, the last number it measured, and the limit of it."""

    held: int = 0
    broken: int = 0
    found: float | None = None
    limit: float | None = None

    @property
    def checked(self) -> int:
        return self.held + self.broken


NONE = RuleCount()
RuleCounts = Mapping[str, RuleCount]


def added(counts: RuleCounts, event: RulesChecked) -> dict[str, RuleCount]:
    """Returns the counts by rule name, with one more event added."""
    total = dict(counts)
    for rule in event.held | event.broken:
        old = total.get(rule, NONE)
        held, broken = old.held + event.held.get(rule, 0), old.broken + event.broken.get(rule, 0)
        found, limit = event.numbers.get(rule, (old.found, old.limit))
        total[rule] = RuleCount(held, broken, found, limit)
    return total
