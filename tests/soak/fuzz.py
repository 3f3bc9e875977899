"""Malformed command lines and mutated journal lines: nothing crashes, an id is answered once, all stays in its folder.

    python tests/soak/fuzz.py [--count 10000] [--seed 0]

Deterministic in its seed. Commands go to the engine's Control; journal lines go to the console (Feed, fold, every view)
and to what the engine makes of a journal when it goes on with a run.
"""

import argparse
import contextlib
import json
import os
import random
import string
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "journals"))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import looks
from check_sums import without_sums
from make import STORIES

from engine.contract.journal import events as e
from engine.contract.journal.codec import encode
from engine.contract.journal.live import live_records
from engine.contract.journal.store import JournalWriter, read_journal
from engine.contract.run_folder.commands import Command, append
from engine.contract.run_folder.folder import RunDir, create
from engine.runtime import control as control_module
from engine.runtime.control import Control, Skip, Stop
from engine.runtime.history import landmarks, read_history
from engine.runtime.recorder import Recorder
from engine.runtime.summary import summarize
from mindprint_tui.journal.feed import Feed, Samples
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState

TOPICS = tuple(f"unit-01/chapter-01/topic-0{number}" for number in (1, 2, 3))
KINDS = ("pause", "resume", "stop", "skip", "reevaluate", "retry")
STORIES_USED = ("happy", "finished", "not-a-number", "rolled-back", "restarted", "hostile")
ID_LETTERS = {*string.ascii_letters, *string.digits, *"_.:-"}
PER_LOOK = 25  # mutated lines between two looks at the whole screen
HOSTILE_TEXT = (
    "", " ", "..", "../", "../../../../tmp/x", "/etc/passwd", "a/../b/../c", "unit-01/chapter-01/../../../../x",
    "unit-01/chapter-01/topic-01\x00", "\x00", "x" * 4096, "ü" * 2000, "раuse", "раusе", "ｐause", "ﬁle", "\u202epause",
    "unіt-01/chapter-01/topic-01", "unit-01∕chapter-01∕topic-01", "unit-01/chapter-01/topic-０1", "\ud800", "\x1b[2J",
    "~/x", "$(reboot)", "`id`", "%s%n", "-rf", "CON", "a\nb", "\r", "{}", "null", "NaN", "💡" * 40, "line-at-0",
)  # fmt: skip
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**17, 10**30, -0.0, 0.5, 1e308, -1e308, 5e-324, [], {}, [[]], [None],
    {"a": 1}, [1, "a", None], float("nan"), float("inf"), *HOSTILE_TEXT,
)  # fmt: skip


class Fence:
    """Notes every file that is opened for writing, made, moved or removed outside of a folder, while it is up."""

    def __init__(self) -> None:
        self.inside: str | None = None
        self.crossed: list[str] = []
        sys.addaudithook(self._hook)  # cannot be taken off: it looks away while `inside` is None

    @contextlib.contextmanager
    def around(self, folder: Path) -> Iterator[None]:
        self.inside, self.crossed = str(folder.resolve()) + os.sep, []
        try:
            yield
        finally:
            self.inside = None
        assert not self.crossed, f"outside of the run folder: {self.crossed[:5]}"

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            paths = [path] if writes else []
        elif event in ("os.rename", "os.link", "os.symlink"):
            paths = list(args[:2])
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "shutil.rmtree", "os.system"):
            paths = [args[0]]
        else:
            return
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                found = os.path.realpath(os.path.join(os.getcwd(), os.fsdecode(path)))  # noqa: PTH118
                if not found.startswith(self.inside):
                    self.crossed.append(f"{event} {found}")


FENCE = Fence()


def some_id(rng: random.Random, used: list[str]) -> str:
    if used and rng.random() < 0.05:
        return rng.choice(used)  # the same id once more asks for nothing new
    used.append("".join(rng.choices(sorted(ID_LETTERS), k=rng.randint(6, 64))))
    return used[-1]


def command_line(rng: random.Random, used: list[str]) -> tuple[bytes, str | None]:
    """A line of commands.jsonl, and the id that its answer must have; None where it has none of its own."""
    name = some_id(rng, used)
    data: dict[str, Any] = {"id": name, "kind": rng.choice(KINDS), "topic": rng.choice(TOPICS), "by": "fuzz"}
    way = rng.randrange(9)
    if way == 0:  # not JSON, torn, or nested without an end
        whole = json.dumps(data).encode()
        cut = whole[: rng.randrange(1, len(whole) - 1)]
        odd = (cut, b"\xff\xfe" + whole, b"[" * rng.randint(2, 4000), rng.randbytes(40), b"{" + whole)
        return rng.choice(odd), None
    if way == 1:  # an id that is none
        data["id"] = bad = rng.choice([*HOSTILE_VALUES, name + "é", "a" * 65])
        proper = isinstance(bad, str) and 0 < len(bad) <= 64 and set(bad) <= ID_LETTERS
        return clean_line(data), bad if proper else None
    if way == 2:  # a kind that is none
        data["kind"] = rng.choice(HOSTILE_VALUES)
    elif way == 3:  # a topic that is none
        near = ("unit-09/chapter-01/topic-01", f"{TOPICS[0]}/..", TOPICS[0].upper())
        data["topic"] = rng.choice([*HOSTILE_VALUES, *near])
    elif way == 4:
        data["by"] = rng.choice(HOSTILE_VALUES)
    elif way == 5:
        del data[rng.choice(["kind", "topic", "by"])]
    elif way == 6:  # too long
        data["note"] = "x" * rng.randint(4096, 9000)
        return clean_line(data), None
    elif way == 7:
        data[rng.choice(["note", "path", "id2"])] = rng.choice(HOSTILE_VALUES)
    line = clean_line(data)
    return line, name if len(line) <= 4096 else None


def clean_line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=True).encode()


def fuzz_commands(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Gives so many lines to a Control; asserts that every id is answered once. Returns how many of each outcome."""
    rng = random.Random(seed)
    run = create(folder, "run")
    expected: list[str] = []
    used: list[str] = []
    offset = 0
    with open(run.commands, "wb") as file:
        for _ in range(count):
            line, name = command_line(rng, used)
            line = line.replace(b"\n", b" ")
            if line.strip():
                expected.append(name if name is not None else f"line-at-{offset}")
            file.write(line + b"\n")
            offset += len(line) + 1
    real_sleep, real_sync = control_module.time.sleep, os.fsync
    resumes = iter(range(10**9))

    def resume_instead(_: float) -> None:
        name = f"resume-{next(resumes)}"
        expected.append(name)
        append(run.commands, Command(name, "resume", None, "fuzz"))

    control_module.time.sleep, os.fsync = resume_instead, lambda descriptor: None  # the disk is not what is tried here
    try:
        with FENCE.around(run.path):
            recorder = Recorder(run)
            drive(Control(run, recorder, TOPICS))
            answers = [event for event in events(run) if isinstance(event, e.CommandTaken)]
            again = Control(run, recorder, TOPICS, [answer.id for answer in answers])
            again.poll()  # after a restart nothing is answered a second time
            again.close()
            recorder.close()
    finally:
        control_module.time.sleep, os.fsync = real_sleep, real_sync
    given = Counter(answer.id for answer in answers)
    assert set(given.values()) == {1}, [name for name, times in given.items() if times != 1][:5]
    assert set(given) == set(expected), (set(given) ^ set(expected)).pop()
    assert len([event for event in events(run) if isinstance(event, e.CommandTaken)]) == len(answers)
    read_history(read_journal(run.journal))
    return {"lines": count, **Counter(answer.outcome for answer in answers)}


def drive(control: Control) -> None:
    """Polls as a run does between its steps, through stops and skips, and closes."""
    control.status[TOPICS[0]], control.status[TOPICS[1]] = "running", "finished"
    while True:
        try:
            control.boundary()
        except (Stop, Skip):
            continue
        break
    control.close()


def events(run: RunDir) -> list[e.Event]:
    return [record.event for record in read_journal(run.journal)]


def mutated(rng: random.Random, line: bytes) -> bytes:
    """A journal line with something wrong in it; one line still."""
    way = rng.randrange(8)
    if way == 0:
        line = without_sums(line) if rng.random() < 0.8 else line
        place = rng.randrange(len(line))
        return one_line(line[:place] + rng.randbytes(rng.randint(1, 4)) + line[place + rng.randint(0, 4) :])
    if way == 1:
        return one_line(line[: rng.randrange(len(line))])
    if way == 2:
        return one_line(rng.randbytes(rng.randint(1, 300)))
    data = json.loads(without_sums(line))
    name = rng.choice(list(data))
    if way == 3:
        del data[name]
    elif way == 4:
        data["kind"] = rng.choice([*e.KINDS, *HOSTILE_TEXT])
    elif way == 5:
        data["seq"] = rng.choice([data["seq"] + rng.randint(-9, 9), *HOSTILE_VALUES])
    elif way == 6 and "topic" in data:
        data["topic"] = rng.choice([*TOPICS, *HOSTILE_TEXT])
    else:
        data[name] = rng.choice(HOSTILE_VALUES)
    return one_line(json.dumps(data).encode())


def one_line(data: bytes) -> bytes:
    return data.replace(b"\n", b" ")


def fuzz_journals(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Gives stories with so many mutated lines to console and engine; asserts that neither stumbles."""
    rng = random.Random(seed)
    tried = screens = 0
    while tried < count:
        story = STORIES_USED[tried % len(STORIES_USED)]
        lines = [encode(record).rstrip(b"\n") for record in STORIES[story]()][:400]
        run = create(folder, f"run-{tried}")
        feed, state = Feed(run), RunState()
        whole = open(run.journal, "wb")  # noqa: SIM115 - written to between looks
        for place, line in enumerate(lines):
            bad = rng.random() < 0.7 and tried < count
            whole.write((mutated(rng, line) if bad else line) + b"\n")
            tried += bad
            if place % PER_LOOK == PER_LOOK - 1 or place == len(lines) - 1:
                whole.flush()
                with FENCE.around(run.path):
                    records = feed.skim(60) if rng.random() < 0.5 else feed.read(60)
                    state = fold(state, records)
                    looks.everything(state, feed.liveness(), rng)
                screens += 1
        whole.close()
        with FENCE.around(run.path):
            for topic in [*state.topics][:3]:
                looks.answers(Samples(run, topic).read(60)[0])
            looks.after(run)
            what_the_engine_makes_of(run)
    return {"lines": tried, "screens": screens}


def what_the_engine_makes_of(run: RunDir) -> None:
    """What an engine reads of a journal that it goes on with: history, landmarks, summary, and where numbers go on."""
    records = list(live_records(run.journal))
    history = read_history(records)
    assert history.seconds >= 0
    landmarks(records)
    if any(isinstance(record.event, e.RunStarted) for record in records):
        json.dumps(summarize(records, 1, "f", 1.0), allow_nan=False)
    writer = JournalWriter(run.journal)
    assert writer.append(e.Preparing("goes on")).seq > next((r.seq for r in reversed(records) if r.seq >= 0), -1)
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print("commands:", fuzz_commands(asked.count, asked.seed, Path(place) / "commands"), flush=True)
        print("journals:", fuzz_journals(asked.count, asked.seed, Path(place) / "journals"), flush=True)


if __name__ == "__main__":
    main()
