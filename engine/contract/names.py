"""Checks names of topics, runs and adapters against strict patterns before they touch a path."""

import difflib
import re
from collections.abc import Mapping, Sequence

from engine.contract.errors import InputError
from engine.contract.vocabulary import PHASES, Phase

PART = r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?"
TOPIC_ID = re.compile(rf"{PART}/{PART}/{PART}")
RUN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?")
DELTA_NAME = re.compile(rf"[0-9]{{3,9}}-{PART}\.{PART}\.{PART}-(?:sft|dpo)")
COMMAND_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
LISTED = 40  # most topics that a message lists


def topic_id(text: str) -> str:
    """Returns a topic id such as `unit-01/chapter-01/topic-01`; raises InputError for anything else."""
    if not TOPIC_ID.fullmatch(text):
        raise InputError(f"topic id {_short(text)} is not of the form unit-01/chapter-01/topic-01")
    return text


def run_name(text: str) -> str:
    """Returns a run name (letters, digits, `_`, `-`, inner dots); raises InputError for anything else."""
    if not RUN_NAME.fullmatch(text):
        raise InputError(f"run name {_short(text)} may hold only letters, digits, '_', '-' and inner dots, 100 at most")
    return text


def find_topic(wanted: str, titles: Mapping[str, str]) -> str:
    """Returns the id of the topic that a person named: by its id, its title or the last part of its id.

    A title or a last part must be unique. `titles` maps id to title. If no single topic matches, raises InputError,
    which lists the ids.
    """
    if wanted in titles:
        return wanted
    word = wanted.strip().casefold()
    found = [id for id, title in titles.items() if word and word in (id.rpartition("/")[2], title.strip().casefold())]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{_short(wanted)} names {len(found)} topics; name one by its id:{_listed(found, titles)}")
    close = difflib.get_close_matches(wanted, titles, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise InputError(f"no topic {_short(wanted)}{hint} The topics are:{_listed(list(titles), titles)}")


def find_topics(wanted: Sequence[str], titles: Mapping[str, str]) -> set[str]:
    """Returns the ids of the topics that a person named. A name of find_topic, or the id of a unit or of a chapter."""
    found: set[str] = set()
    for name in wanted:
        below = {id for id in titles if id.startswith(f"{name}/")}
        found |= below or {find_topic(name, titles)}
    return found


def _listed(ids: list[str], titles: Mapping[str, str]) -> str:
    """Returns a line for each topic, with its title if it has one; at most LISTED lines."""
    lines = [f"\n  {id}" + (f"  {titles[id]}" if titles[id] not in ("", id) else "") for id in ids[:LISTED]]
    more = f"\n  and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    return "".join(lines) + more


def split_stage(stage: str) -> tuple[str, Phase | None]:
    """Splits `TOPIC:phase` into topic and phase; without a phase it is None. Raises InputError for an unknown phase."""
    topic, colon, word = stage.partition(":")
    for phase in PHASES:
        if word == phase:
            return topic, phase
    if colon:
        raise InputError(f"{stage!a}: found phase {word!a}, expected {' or '.join(PHASES)}")
    return topic, None


def delta_name(text: str) -> str:
    """Returns the name of a committed adapter's folder; raises InputError for anything else."""
    if not DELTA_NAME.fullmatch(text):
        raise InputError(f"adapter {_short(text)} is not of the form 001-unit-01.chapter-01.topic-01-sft")
    return text


def new_delta(number: int, topic: str, phase: str) -> str:
    """Returns the folder name of the run's `number`th commit: `003-unit-01.chapter-01.topic-02-sft`."""
    return f"{number:03d}-{topic.replace('/', '.')}-{phase}"


def _short(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
