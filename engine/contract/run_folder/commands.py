"""Commands that a person can give a running engine, and their lines in commands.jsonl."""

import getpass
import json
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from engine.contract.errors import InputError
from engine.contract.names import COMMAND_ID, TOPIC_ID
from engine.contract.run_folder.files import append_line
from engine.contract.vocabulary import PHASES, Phase
from engine.contract.wording import short

CommandKind = Literal["pause", "resume", "stop", "skip", "reevaluate", "retry", "keep"]
KINDS: tuple[str, ...] = get_args(CommandKind)
WITH_TOPIC = ("skip", "reevaluate", "retry", "keep")
LONGEST = 4096  # most bytes of a line


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `topic` is set for skip, reevaluate, retry and keep.

    `phase` is the rolled-back phase that keep asks for; None is the last one of the topic.
    """

    id: str
    kind: CommandKind
    topic: str | None
    by: str
    phase: Phase | None = None


@dataclass(frozen=True, slots=True)
class BadCommand:
    """A line that is not a valid command; the answer goes to `id`."""

    id: str
    kind: str
    reason: str


def new_command(kind: str, topic: str | None = None, phase: str | None = None) -> Command:
    """Returns a command with a fresh id from the person at this terminal; raises InputError."""
    data = {"id": uuid.uuid4().hex[:12], "kind": kind, "topic": topic, "by": _me(), "phase": phase}
    parsed = parse(json.dumps(data).encode(), 0)
    if isinstance(parsed, BadCommand):
        raise InputError(parsed.reason)
    return parsed


def append(path: Path, command: Command) -> None:
    """Appends the command in one write, under a lock. So a half line is a person's mistake, never a race."""
    data: dict[str, Any] = {"id": command.id, "kind": command.kind, "by": command.by}
    if command.topic is not None:
        data["topic"] = command.topic
    if command.phase is not None:
        data["phase"] = command.phase
    append_line(path, json.dumps(data).encode())


def parse(line: bytes, offset: int) -> Command | BadCommand:
    """Parses one line; `offset` is the byte of its file at which it starts.

    If the line has no id, the offset becomes the id of the answer (`line-at-OFFSET`).
    """
    unnamed = f"line-at-{offset}"
    if len(line) > LONGEST:
        return BadCommand(unnamed, "", f"the line has {len(line)} bytes; {LONGEST} at most")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return BadCommand(unnamed, "", "not JSON")
    if not isinstance(data, dict):
        return BadCommand(unnamed, "", "not an object")
    name, kind, topic, phase = (data.get(key) for key in ("id", "kind", "topic", "phase"))
    if not isinstance(name, str) or not COMMAND_ID.fullmatch(name):
        return BadCommand(unnamed, "", "id must be 1 to 64 letters, digits or _.:-")
    if kind not in KINDS or not isinstance(kind, str):
        return BadCommand(name, "", f"unknown command; known are {', '.join(KINDS)}")
    if kind in WITH_TOPIC and not (isinstance(topic, str) and TOPIC_ID.fullmatch(topic)):
        found = "nothing" if topic is None else short(topic)
        return BadCommand(name, kind, f"{kind} needs a topic id such as unit-01/chapter-01/topic-01; found {found}")
    if phase is not None and (kind != "keep" or phase not in PHASES):
        return BadCommand(name, kind, f"{kind} takes no phase {short(phase)}; keep takes {' or '.join(PHASES)}")
    by = data.get("by")
    return Command(
        name,
        kind,  # type: ignore[arg-type]  # one of KINDS
        topic if kind in WITH_TOPIC else None,
        by[:80] if isinstance(by, str) else "unknown",
        phase,
    )


def _me() -> str:
    try:
        terminal = os.ttyname(sys.stdin.fileno()).removeprefix("/dev/")
    except (OSError, ValueError, AttributeError):
        terminal = "no-tty"
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{terminal}"
