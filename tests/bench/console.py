"""What the console costs and how fast it answers, in a pseudo-terminal of 120x40 beside real training.

    python tests/bench/console.py [live] [share] [long] [many]     each takes two to four minutes; all by default

Prints one JSON object a part; docs/CONSOLE.md holds the numbers of one machine. Needs Linux (/proc), for `live` and
`share` the embedded model, and a machine that does nothing else.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "journals")]

from make import write  # noqa: E402
from terminal import Terminal  # noqa: E402

from engine.contract.journal.codec import decode  # noqa: E402
from engine.contract.journal.events import Step  # noqa: E402
from engine.contract.run_folder import commands  # noqa: E402
from engine.contract.run_folder.folder import RunDir  # noqa: E402

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))
TOPIC = "unit-01/chapter-01/topic-01"
STARTS, CALM, SETTLE, PRESSES = 9, 60.0, 5.0, 60
PAIRING, STRETCH = 200.0, 8  # seconds of stretches of so many steps (four epochs), in turn with and without a console
Seen = Callable[[Terminal], bool]


@contextmanager
def training(logs: Path) -> Iterator[RunDir]:
    """A real engine in the middle of a long SFT phase; stopped at the end."""
    run = RunDir(logs / "bench")
    command = [PROGRAM, "--no-ui", str(ROOT / "configs" / "quick.yaml"), "--logs", str(logs), "--run-id", run.name]
    command += [
        "--topic",
        TOPIC,
        "--set",
        "foundation.epochs=0",
        "--set",
        "sft.epochs=2000",
        "--set",
        "run.checkpoint_every=10000",
    ]
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while len(steps(run)) < 3:
            if engine.poll() is not None:
                raise RuntimeError("the engine ended before it trained")
            time.sleep(0.2)
        yield run
    finally:
        commands.append(run.commands, commands.new_command("stop", None))
        engine.wait(60)


def steps(run: RunDir) -> list[float]:
    """When each optimizer step ended."""
    lines = run.journal.read_bytes().splitlines() if run.journal.exists() else []
    return [record.t for record in map(decode, lines) if isinstance(record.event, Step)]


def attach(run: RunDir) -> Terminal:
    """A console on a run, in a terminal of its own."""
    return Terminal([PROGRAM, "attach", run.name, "--logs", str(run.path.parent)])


def until(terminal: Terminal, seen: Seen, seconds: float = 30.0) -> float:
    """When the bytes came that made it so."""
    deadline = time.monotonic() + seconds
    while not seen(terminal):
        if time.monotonic() > deadline:
            raise RuntimeError(f"it did not come:\n{terminal.text}")
        terminal.settle(0.0005)
    return terminal.arrived


def shows(text: str) -> Seen:
    return lambda terminal: text in terminal.text


def hides(text: str) -> Seen:
    return lambda terminal: text not in terminal.text


def pressed(terminal: Terminal, key: str, seen: Seen) -> float:
    """Milliseconds from a key to what it paints."""
    began = time.monotonic()
    terminal.type(key)
    return (until(terminal, seen) - began) * 1000


def chosen(number: int) -> Seen:
    """The title of a pane is bold once it is the chosen one."""

    def seen(terminal: Terminal) -> bool:
        for y, row in enumerate(terminal.screen.display):
            if (x := row.find(f" {number} ")) >= 0 and row[x - 1] == "─":
                return bool(terminal.screen.buffer[y][x + 1].bold)
        return False

    return seen


def used(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> float:
    """The most memory that a process has held, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest."""
    ordered = sorted(values)
    place = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return {"median": statistics.median(ordered), "p95": ordered[place], "max": ordered[-1], "n": len(ordered)}


def starts(run: RunDir) -> dict[str, object]:
    """Seconds from the start of `attach` to the first frame, and to the first values of the run."""
    frames, values = [], []
    for _ in range(STARTS):
        began = time.monotonic()
        with attach(run) as terminal:
            frames.append(until(terminal, shows("Topics")) - began)
            values.append(until(terminal, shows("tok/s")) - began)
    return {"first_frame_s": spread(frames), "first_values_s": spread(values)}


def calm(run: RunDir) -> dict[str, float]:
    """Bytes to the terminal, CPU and memory while nobody presses a key."""
    with attach(run) as terminal:
        terminal.settle(SETTLE)
        began, before, cpu = time.monotonic(), len(terminal.raw), used(terminal.pid)
        terminal.settle(CALM)
        seconds = time.monotonic() - began
        return {
            "bytes_per_s": (len(terminal.raw) - before) / seconds,
            "cpu_share": (used(terminal.pid) - cpu) / seconds,
            "peak_mb": peak(terminal.pid),
        }


def keys(run: RunDir) -> dict[str, object]:
    """Milliseconds from key to paint: the panes, the help page and back, the log's filter."""
    pressing: list[tuple[str, Seen]] = [(str(number), chosen(number)) for number in (2, 3, 4, 5, 1)]
    pressing += [("?", shows("mindprint help")), ("?", shows("1 Topics"))]
    pressing += [("Q", shows("Stop the run?")), ("n", hides("Stop the run?")), ("l", shows("· log"))]
    pressing += [("l", hides("· log"))]
    panes, whole = [], []
    with attach(run) as terminal:
        until(terminal, shows("tok/s"))
        terminal.settle(2.0)
        for place in range(PRESSES):
            key, seen = pressing[place % len(pressing)]
            (whole if key == "?" else panes).append(pressed(terminal, key, seen))
            terminal.settle(0.25 + place % 7 * 0.03)
    return {"key_ms": spread(panes + whole), "whole_screen_ms": spread(whole)}


def live() -> dict[str, object]:
    """Beside an engine that uses every core."""
    with tempfile.TemporaryDirectory() as logs, training(Path(logs)) as run:
        return {**starts(run), **keys(run), **calm(run)}


def share() -> dict[str, object]:
    """Steps per second with a console as a share of those without: stretches of one run in turn, a ratio each pair."""

    def stretch(run: RunDir) -> float:
        first = len(steps(run))  # the step that is under way belongs to the stretch before
        while len(steps(run)) <= first + STRETCH:
            time.sleep(0.5)
        times = steps(run)
        return STRETCH / (times[first + STRETCH] - times[first])

    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as logs, training(Path(logs)) as run:
        deadline = time.monotonic() + PAIRING
        while time.monotonic() < deadline:
            rates = {}
            for watched in (True, False) if len(ratios) % 2 else (False, True):
                if watched:
                    console = subprocess.Popen([sys.executable, __file__, "watch", str(run.path)])
                    time.sleep(2.0)
                rates[watched] = stretch(run)
                if watched:
                    console.terminate()
                    console.wait()
            ratios.append(rates[True] / rates[False])
    return {"share": statistics.median(ratios), "ratios": [round(ratio, 3) for ratio in ratios]}


def long() -> dict[str, object]:
    """A journal of a million events, read from its beginning."""
    with tempfile.TemporaryDirectory() as logs:
        run = write("long-1000000", Path(logs))
        began = time.monotonic()
        answered = []
        with attach(run) as terminal:
            usable = until(terminal, shows("tok/s")) - began
            while "reading the journal" in terminal.text:
                answered.append(pressed(terminal, "?", shows("mindprint help")))
                answered.append(pressed(terminal, "?", hides("mindprint help")))
                terminal.settle(0.5)
            return {
                "bytes": run.journal.stat().st_size,
                "usable_s": usable,
                "complete_s": terminal.arrived - began,
                "key_ms": spread(answered),
                "peak_mb": peak(terminal.pid),
            }


def many() -> dict[str, object]:
    """Ten thousand topics under the cursor."""
    with tempfile.TemporaryDirectory() as logs:
        run = write("many", Path(logs))
        scrolled = []
        with attach(run) as terminal:
            until(terminal, shows("tok/s"))
            while "reading the journal" in terminal.text:
                terminal.settle(0.2)
            terminal.settle(1.5)
            for key in ["\x1b[H", *["\x1b[B", "\x1b[6~"] * 25, "\x1b[F", "\x1b[5~", "\x1b[H"]:
                before = "\n".join(terminal.screen.display[1:])
                scrolled.append(pressed(terminal, key, lambda t, b=before: "\n".join(t.screen.display[1:]) != b))
                terminal.settle(0.1)
            return {"scroll_ms": spread(scrolled), "peak_mb": peak(terminal.pid)}


def watch(path: str) -> None:
    """A console on a run until this process is ended: another process, so that reading its bytes is not measured."""
    with attach(RunDir(Path(path))) as terminal:
        while True:
            terminal.settle(60)


def main() -> None:
    """Measures what is named, or everything."""
    if sys.argv[1:2] == ["watch"]:
        watch(sys.argv[2])
    parts = {part.__name__: part for part in (live, share, long, many)}
    for name in sys.argv[1:] or parts:
        result = parts[name]()
        print(json.dumps({name: result}, default=str, indent=1), flush=True)


if __name__ == "__main__":
    main()
