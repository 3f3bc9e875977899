"""Names that may touch a path: of topics, runs and adapters, checked against a strict pattern first."""

import re

from engine.contract.errors import InputError

PART = r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?"
TOPIC_ID = re.compile(rf"{PART}/{PART}/{PART}")
RUN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?")
DELTA_NAME = re.compile(rf"[0-9]{{3,9}}-{PART}\.{PART}\.{PART}-(?:sft|dpo)")
COMMAND_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def topic_id(text: str) -> str:
    """Returns a topic id such as `unit-01/chapter-01/topic-01`; raises InputError for anything else."""
    if not TOPIC_ID.fullmatch(text):
        raise InputError(f"topic id {_short(text)} is not of the form unit-01/chapter-01/topic-01")
    return text


def run_name(text: str) -> str:
    """Returns a run name (letters, digits, `_`, `-`, `.` inside); raises InputError for anything else."""
    if not RUN_NAME.fullmatch(text):
        raise InputError(f"run name {_short(text)} may hold only letters, digits, '_', '-' and inner dots, 100 at most")
    return text


def delta_name(text: str) -> str:
    """Returns the name of a committed adapter's folder; raises InputError for anything else."""
    if not DELTA_NAME.fullmatch(text):
        raise InputError(f"adapter {_short(text)} is not of the form 001-unit-01.chapter-01.topic-01-sft")
    return text


def new_delta(number: int, topic: str, phase: str) -> str:
    """The name that the run's `number`th commit gets: `003-unit-01.chapter-01.topic-02-sft`."""
    return f"{number:03d}-{topic.replace('/', '.')}-{phase}"


def _short(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
