"""Finds the patterns of a received voice.yaml in a text, with a limit on the time that a pattern may compute."""

import re

from engine.contract.text_match import core
from engine.contract.wording import short
from engine.runtime.limits import limited

PATIENCE = 10.0  # seconds that a pattern may compute on one answer; one that ends takes microseconds


def matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Returns every match; raises InputError that names the pattern if it computes for longer than PATIENCE."""
    with limited(PATIENCE, f"voice.yaml: the pattern {short(core(pattern))} on one answer"):
        return list(pattern.finditer(text))
