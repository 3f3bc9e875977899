"""What the engine holds itself to while it runs: require() a rule, and what the looking cost. rules.py names them."""

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from engine.contract.journal.events import Failed, Phase
from engine.rules.catalogue import RULES


class Broken(Exception):
    """A rule does not hold: the phase is rolled back and nothing of it is committed."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = RULES[rule]


class Checks:
    """What this process has looked at: how often each rule was found to hold, and the seconds that looking took."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self._seconds = 0.0
        self._depth = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Counts the time inside as the price of the rules; one inside another is counted once. Also a decorator."""
        started = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._seconds += time.perf_counter() - started

    def take_seconds(self) -> float:
        """The seconds since this was asked before."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


CHECKS = Checks()


def failure(where: str, error: Exception, topic: str | None = None, phase: Phase | None = None) -> Failed:
    """The event that states an exception that is being handled: its rule where one broke, its type where none did."""
    rule = error.rule.name if isinstance(error, Broken) else None
    message = str(error) if rule else f"{type(error).__name__}: {error}"
    return Failed(where, message, traceback.format_exc(), topic, phase, rule)


def require(rule: str, holds: bool, message: str) -> None:
    """Raises Broken, with what was found and what was expected, where a rule does not hold."""
    if not holds:
        raise Broken(rule, message)
    CHECKS.held[RULES[rule].name] += 1
