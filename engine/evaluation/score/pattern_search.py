"""Searches a text for patterns from voice.yaml, with a time limit, since they may be untrusted."""

import re

from engine.contract.text_match import inner_pattern
from engine.contract.wording import short
from engine.runtime.limits import limited

PATIENCE = 10.0  # time limit in seconds per pattern and answer; a normal search takes microseconds


def matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Returns every match. Raises InputError with the pattern if its search takes longer than PATIENCE."""
    with limited(PATIENCE, f"voice.yaml: the pattern {short(inner_pattern(pattern))} on one answer"):
        return list(pattern.finditer(text))
