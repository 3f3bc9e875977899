"""What a restart makes void is found by one reader, in a stream, however often a run was restarted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import long, write

from engine.contract.journal import events as e
from engine.contract.journal.codec import encode
from engine.contract.journal.events import Record
from engine.contract.journal.live import live, live_records
from engine.contract.journal.store import read_journal, records
from engine.runtime.history import read_history
from engine.runtime.summary import summarize

TOPIC = "unit-01/chapter-01/topic-01"
PEAK = """
import os, resource, signal, sys
from pathlib import Path
from engine import supervise
from engine.contract.run_folder.folder import RunDir
supervise.ENGINE = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
assert supervise.Supervisor(RunDir(Path(sys.argv[1]))).run() == 3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def step(number: int) -> e.Step:
    return e.Step(TOPIC, "sft", number, 99, 1.0, 1e-3, 1.0, 9, 9, 1.0, 1)


def told(*events: e.Event) -> list[Record]:
    return [Record(seq, float(seq), event) for seq, event in enumerate(events)]


def void(found: Any) -> list[int]:
    return [record.seq for record in found if isinstance(record.event, e.Void)]


def test_the_steps_after_the_checkpoint_are_void_and_their_time_stays(tmp_path: Path) -> None:
    run = write("restarted", tmp_path)
    every, found = read_journal(run.journal), list(live_records(run.journal))
    assert [(r.seq, r.t) for r in found] == [(r.seq, r.t) for r in every]
    gone = [r.event.event for r in found if isinstance(r.event, e.Void)]
    assert [each.step for each in gone if isinstance(each, e.Step)] == list(range(11, 18)) and len(gone) == 7
    kept = [r.event.step for r in found if isinstance(r.event, e.Step) and r.seq > gone_from(every)]
    assert kept == [11, 12, 13, 14]
    assert read_history(found).seconds == read_history(every).seconds


def gone_from(every: list[Record]) -> int:
    return next(r.seq for r in every if isinstance(r.event, e.Restored))


def test_a_decision_after_the_boundary_is_void_and_an_evaluation_is_not() -> None:
    scored = e.Evaluated(TOPIC, "sft", 0.5, 0.5, 0.5, {}, None, "ok", 1.0)
    events = step(1), scored, e.Decided(TOPIC, "keep", "a"), e.Restored(0, ""), e.Decided(TOPIC, "keep", "b")
    assert void(live(told(*events))) == [2]


def test_a_line_that_was_written_twice_is_one_restart() -> None:
    records = told(step(1), step(2), e.Restored(0, ""), step(2))
    assert void(live([*records[:3], records[2], *records[3:]])) == [1]


def test_a_restart_with_a_damaged_number_voids_nothing_after_it() -> None:
    records = told(step(1), step(2), e.Restored(0, ""), step(2), step(3))
    for number in (-1, 10**17):
        records[2] = Record(number, 2.0, records[2].event)
        assert void(live(records)) == [1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.integers(0, 30), max_size=30))
def test_void_is_what_a_later_restart_rewinds_behind(marks: list[int | None]) -> None:
    records = told(*(step(1) if mark is None else e.Restored(mark, "") for mark in marks))
    wanted = [
        seq
        for seq, mark in enumerate(marks)
        if mark is None and any(later is not None and later < seq for later in marks[seq:])
    ]
    assert void(live(records)) == wanted


@pytest.mark.parametrize("place", [0, 1, 7])
def test_a_line_that_is_not_json_takes_no_time(tmp_path: Path, place: int) -> None:
    """Such a run took 20,788 days."""
    run = write("finished", tmp_path)
    lines = run.journal.read_bytes().splitlines(keepends=True)
    whole = read_history(records(run.journal))
    run.journal.write_bytes(b"".join([*lines[:place], b"\x00 not JSON\n", *lines[place:]]))
    found = read_history(records(run.journal))
    assert found.seconds == whole.seconds < 3600
    assert (found.damaged, whole.damaged) == (1, 0)


def test_a_kind_of_a_newer_engine_is_not_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(Record(0, 1.0, e.Paused("me"))) + b'{"seq": 1, "t": 2.0, "kind": "danced"}\n')
    assert read_history(records(path)).damaged == 0


def test_a_summary_is_made_of_a_stream(tmp_path: Path) -> None:
    run = write("restarted", tmp_path)
    once = summarize(live_records(run.journal), 1, "f", 1.0)
    assert once == summarize(list(live(read_journal(run.journal))), 1, "f", 1.0)
    assert once["prediction"]["peak_bytes"] == 1_575_739_901


def test_a_supervisor_needs_no_more_memory_for_a_long_journal(tmp_path: Path) -> None:
    def peak(name: str, events: int) -> int:
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        with open(folder / "journal.jsonl", "wb") as file:
            file.writelines(map(encode, long(events) if events else ()))
        done = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert peak("long", 60_000) - peak("empty", 0) < 10_000_000
