"""SIGKILLs runs of four topics at random moments, lets the supervisor resume them, and compares with one left in peace.

    python tests/soak/soak.py --tiny 48 --real 12 --seed 1

kills runs of a tiny model 48 times and of the embedded model 12 times. It prints what each kill hit, and ends with a
sentence of what differs where anything does.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import tiny

from engine.contract.journal import events as e
from engine.contract.journal.codec import decode
from engine.contract.journal.events import Record
from engine.contract.journal.store import Tail
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from engine.runtime.history import landmarks

ROOT = tiny.ROOT
LOOK = 0.0004  # seconds between two looks at the run folder: a checkpoint of the tiny model is written in a few ms
SAME_PLACE = 2  # kills without progress in a row; a third one would end the run, as it should
MOMENTS = ("checkpoint", "commit", "evaluation", "closing", "random", "start", "validation", "keeping")
AT_WORK = (e.Restored, e.Evaluated, e.TopicStarted)


@dataclass
class Watched:
    """A run under its supervisor, and what its journal has said so far."""

    run: RunDir
    process: subprocess.Popen[bytes]
    records: list[Record] = field(default_factory=list)
    reached: int = -1  # landmarks at the last kill
    stuck: int = 0  # kills in a row at that place
    born: int = 0  # records that were there when the engine began
    dead: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tail = Tail(self.run.journal)

    def read(self) -> list[Record]:
        new = [decode(line) for _, line in self._tail.read()]
        self.records += new
        return new

    def last(self) -> e.Event | None:
        """What the engine said last; its supervisor may have journaled its death since."""
        self.read()
        return next((r.event for r in reversed(self.records) if not isinstance(r.event, e.EngineDied)), None)

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def engine(self) -> int | None:
        """The pid of an engine that was not killed yet."""
        pid = holder(self.run)
        return None if pid in (None, -1, self.process.pid) or pid in self.dead else pid


def tiny_settings(folder: Path) -> dict[str, Any]:
    model, data = tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 4)
    best = {"validate_every": 1, "score_every": 3, "keep": "loss", "patience": 2}
    sft = {"epochs": 6, "accumulation": 2, "replay": 0.5, **best}
    return tiny.settings(
        model, data, sft=sft, dpo={"steps": 5, **best}, evaluation={"max_tokens": 24}, run={"checkpoint_every": 2}
    )


def real_settings(folder: Path) -> dict[str, Any]:
    """The embedded model on the tiny curriculum, two steps a phase, adapters on its last layers."""
    data = tiny.make_curriculum(folder / "curriculum", 4)
    best = {"validate_every": 1, "score_every": 2, "keep": "score"}
    sft = {"learning_rate": 1e-3, "accumulation": 2, "layers": 6, "replay": 0.5, **best}
    dpo = {"learning_rate": 3e-4, "layers": 6, **best}
    return tiny.settings(Path("smollm2-135m-instruct"), data, sft=sft, dpo=dpo, evaluation={"max_tokens": 6})


def start(run: RunDir, threads: int) -> Watched:
    """As the console starts it, with so many threads in OpenBLAS."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": str(threads)}
    with open(run.output, "ab") as output:
        command = [sys.executable, "-m", "engine.supervise", str(run.path)]
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env=environment, start_new_session=True
        )
    return Watched(run, process)


def finish(watched: Watched) -> tiny.Ran:
    """Waits for its end; where this process is to end before, both of the run's end with it."""
    try:
        return tiny.Ran(watched.run, watched.process.wait())
    finally:
        if not watched.over:
            watched.process.send_signal(signal.SIGQUIT)


def hidden(folder: Path) -> bool:
    """Whether something is half written there."""
    return any(entry.name.startswith(".") for entry in os.scandir(folder))


def moment(name: str, watched: Watched, chance: random.Random) -> Callable[[], bool]:
    """A question that is asked again and again, until it says that now is the moment to kill."""
    run = watched.run
    if name == "start":
        deadline = time.monotonic() + chance.uniform(0.0, 2.5)
        return lambda: time.monotonic() > deadline
    if name == "checkpoint":
        return lambda: any(entry.name.startswith(".checkpoint.") for entry in os.scandir(run.path))
    if name == "commit":
        return lambda: run.adapters.exists() and hidden(run.adapters)

    def after(match: Callable[[e.Event], bool], longest: float) -> Callable[[], bool]:
        due: list[float] = []

        def ask() -> bool:
            if any(match(record.event) for record in watched.read()) and not due:
                due.append(time.monotonic() + chance.uniform(0.0, longest))
            return bool(due) and time.monotonic() > due[0]

        return ask

    watched.read()
    if name == "closing":
        return after(lambda event: isinstance(event, e.AdapterChanged) and event.state == "fused", 0.004)
    if name == "validation":  # between a measurement and the checkpoint that has it
        return after(lambda event: isinstance(event, e.Validated), 0.004)
    if name == "keeping":  # the best step is in the adapter, and nothing of it is committed
        return after(lambda event: isinstance(event, e.StepKept), 0.02)
    if name == "evaluation":
        started = {(r.event.topic, r.event.phase): r.event for r in watched.records if r.event.kind == "phase_started"}

        def trained(event: e.Event) -> bool:
            if isinstance(event, e.PhaseStarted):
                started[event.topic, event.phase] = event
            return isinstance(event, e.Checkpointed) and event.step == started[event.topic, event.phase].steps

        return after(trained, 0.06)
    return after(lambda event: isinstance(event, e.Step | e.Evaluated | e.PhaseStarted | e.TopicFinished), 1.0)


def hit(watched: Watched) -> str:
    """What the engine was doing when it died, from what it left."""
    run, last = watched.run, watched.last()
    if last is None or not any(isinstance(record.event, AT_WORK) for record in watched.records[watched.born :]):
        return "starting"  # what lies about is of the engine before
    if any(entry.name.startswith(".checkpoint.") for entry in os.scandir(run.path)):
        return "writing or removing a checkpoint"
    if isinstance(last, e.Decided) and run.adapters.exists():
        told = sum(isinstance(r.event, e.AdapterChanged) and r.event.state == "fused" for r in watched.records)
        if hidden(run.adapters) or len(list(run.adapters.glob("[0-9]*"))) > told:
            return "committing"
    if isinstance(last, e.Sample):
        return "evaluating"
    if isinstance(last, e.Validated | e.StepKept):
        return "validating" if isinstance(last, e.Validated) else "keeping the best step"
    if isinstance(last, e.Checkpointed):
        plan = next(r.event for r in reversed(watched.records) if isinstance(r.event, e.PhaseStarted))
        return "evaluating" if last.step == plan.steps else "training"
    if isinstance(last, e.Step | e.PhaseStarted) or (isinstance(last, e.AdapterChanged) and last.state == "attached"):
        return "training"
    return f"after {last.kind}"


def kill(watched: Watched, name: str, chance: random.Random) -> str | None:
    """Waits for the moment and sends SIGKILL; returns what it hit, None where the run came to its end before."""
    while (pid := watched.engine()) is None:
        if watched.over:
            return None
        time.sleep(0.01)
    watched.read()
    watched.born = len(watched.records)
    if watched.stuck >= SAME_PLACE:
        while landmarks(watched.records) == watched.reached and not watched.over:
            watched.read()
            time.sleep(0.01)
    ask = moment(name, watched, chance)
    while not ask():
        if watched.over:
            return None
        time.sleep(LOOK)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    watched.dead.add(pid)
    seen = hit(watched)
    while holder(watched.run) == pid:  # until its supervisor has seen it die: then it has said all that it could
        time.sleep(0.001)
    if isinstance(watched.last(), e.RunFinished):
        return None
    reached = landmarks(watched.records)
    watched.stuck = watched.stuck + 1 if reached == watched.reached else 1
    watched.reached = reached
    return seen


def differences(ran: tiny.Ran, peace: tiny.Ran, kills: int) -> Iterator[str]:
    """What is not as in the run that was left in peace; and what a death must never do."""
    if ran.status != peace.status:
        yield f"exit status {ran.status}, expected {peace.status}"
    if ran.adapters() != peace.adapters():
        names = {n for n in ran.adapters() | peace.adapters() if ran.adapters().get(n) != peace.adapters().get(n)}
        yield f"the bytes of {len(names)} adapters, among them {sorted(names)[0]}"
    if ran.set_aside() != peace.set_aside():
        yield f"set aside are {sorted(ran.set_aside())}"
    if ran.committed() != peace.committed():
        yield f"committed {ran.committed()}"
    if (ran.run.adapters / "ledger.json").read_bytes() != (peace.run.adapters / "ledger.json").read_bytes():
        yield "ledger.json"
    if ran.told() != peace.told():
        yield "summary.json"
    records = ran.records
    if [record.seq for record in records] != list(range(len(records))):
        yield "the numbers of the journal have gaps"
    kinds = [record.event.kind for record in records]
    turns = [kind for kind in kinds if kind in ("run_started", "engine_died", "engine_restarted")]
    if turns.count("engine_died") != kills:
        yield f"{turns.count('engine_died')} deaths journaled after {kills} kills"
    if turns.count("run_started") != 1 or turns[-1] == "engine_died":  # an engine may die before it has said anything
        yield f"engines came and went as {turns}"
    if failures := ran.of(e.Failed):
        yield f"failures: {failures[0].message}"
    finished: set[str] = set()
    for record in records:
        if isinstance(record.event, e.TopicFinished):
            if record.event.topic in finished:
                yield f"{record.event.topic} finished twice"
            finished.add(record.event.topic)
        if isinstance(record.event, e.Step) and record.event.topic in finished:
            yield f"{record.event.topic} was trained after it had finished"


def soak(
    settings: dict[str, Any],
    folder: Path,
    kills: int,
    chance: random.Random,
    threads: int,
    moments: tuple[str, ...] = MOMENTS,
    a_run: int = 10,
) -> Counter[str]:
    """Runs, killed `kills` times in all and `a_run` times each at most; returns what was hit. Raises AssertionError."""
    peace = finish(start(tiny.new_run(folder / "run-0", settings), threads))
    assert peace.status in (0, 1), peace.run.output.read_text()  # what it scores is not the question
    hits: Counter[str] = Counter()
    number = 0
    while hits.total() < kills:
        number += 1
        watched = start(tiny.new_run(folder / f"run-{number}", settings), threads)
        here: list[str] = []
        try:
            while len(here) < min(a_run, kills - hits.total()):
                name = moments[(hits.total() + len(here)) % len(moments)]
                if (seen := kill(watched, name, chance)) is None:
                    break
                here.append(seen)
        except BaseException:
            watched.process.send_signal(signal.SIGQUIT)
            raise
        ran = finish(watched)
        wrong = list(differences(ran, peace, len(here)))
        assert not wrong, f"{ran.run.path}: {'; '.join(wrong)}"
        hits.update(here)
        print(f"run {number}: {len(here)} kills ({', '.join(here)}), the same bytes", flush=True)
        (folder / f"run-{number}").rename(folder / f"done-{number}")
    return hits


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", type=int, default=48, help="kills of runs of a tiny model")
    parser.add_argument("--real", type=int, default=12, help="kills of runs of the embedded model")
    parser.add_argument("--threads", type=int, default=2, help="of OpenBLAS, for the embedded model")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    began = time.monotonic()
    hits: Counter[str] = Counter()
    plans = (("tiny", options.tiny, tiny_settings, 1), ("real", options.real, real_settings, options.threads))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name, kills, settings, threads in plans:
        if kills:
            (folder / name).mkdir()
            found = soak(settings(folder / name), folder / name, kills, random.Random(options.seed), threads)
            print(f"{name}: {found.total()} kills: {json.dumps(found)}", flush=True)
            hits += found
    shutil.rmtree(folder)
    seconds = time.monotonic() - began
    print(f"{hits.total()} kills in {seconds:.0f} s, no topic lost, every adapter byte-identical: {json.dumps(hits)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
