"""Enforces the rules while the engine runs: require() a rule; count and time checks for the journal."""

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from engine.contract.journal.events import Failed, RulesChecked
from engine.contract.vocabulary import Phase
from engine.rules.catalogue import RULES


class Broken(Exception):
    """A rule does not hold: the phase is rolled back and nothing of it is committed."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = RULES[rule]


class RuleChecks:
    """The rule checks of this process: how often each rule held, and the seconds that checking took.

    `held` counts since the process began. `take` returns the checks since its last call.
    """

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self._news = RulesChecked({}, {})
        self._seconds = 0.0
        self._depth = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time inside to the cost of the rules; nested blocks count once. Also a decorator."""
        started = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._seconds += time.perf_counter() - started

    def count(self, rule: str, holds: bool, found: float | None, limit: float | None) -> None:
        """Notes that a rule was checked, the number that was found and its upper limit."""
        counts = self._news.held if holds else self._news.broken
        counts[rule] = counts.get(rule, 0) + 1
        self.held[rule] += holds
        if found is not None:
            self._news.numbers[rule] = _brief(found), None if limit is None else _brief(limit)

    def take(self, topic: str | None, phase: Phase | None, texts: bool) -> RulesChecked | None:
        """Returns the checks since the last call as an event; None if there were none."""
        news, self._news = self._news, RulesChecked({}, {})
        if not news.held and not news.broken:
            return None
        told = {name: rule.text for name, rule in RULES.items()} if texts else {}
        return replace(news, topic=topic, phase=phase, texts=told)

    def take_seconds(self) -> float:
        """Returns the seconds of checking since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def _brief(value: float) -> float:
    """Rounds to three digits: a number to show, in few bytes."""
    return float(f"{value:.3g}")


CHECKS = RuleChecks()


def failure(where: str, error: Exception, topic: str | None = None, phase: Phase | None = None) -> Failed:
    """Returns the event for the exception being handled, with the broken rule or the type of the exception."""
    rule = error.rule.name if isinstance(error, Broken) else None
    message = str(error) if rule else f"{type(error).__name__}: {error}"
    return Failed(where, message, traceback.format_exc(), topic, phase, rule)


def require(rule: str, holds: bool, message: str, *, found: float | None = None, limit: float | None = None) -> None:
    """Raises Broken if a rule does not hold; `message` says what was found and what was expected.

    `found` is the number that was measured, if any, and `limit` its upper limit. Both are journaled.
    """
    CHECKS.count(RULES[rule].name, holds, found, limit)
    if not holds:
        raise Broken(rule, message)
