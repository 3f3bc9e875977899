"""The supervisor on an engine that dies to order, and on the real one: what it starts again, and what it does not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
import yaml
from check_sums import without_sums
from dying import asked

from engine import supervise
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock, holder
from engine.runtime import out_of_memory
from engine.supervise import Supervisor

FAKE = (sys.executable, str(Path(__file__).parents[1] / "support" / "fake_engine.py"))
PROGRAM = Path(sys.executable).with_name("mindprint-tui")
HANG_AFTER = 1.5
PATIENT = 600.0  # longer than any machine at work stands still
WATCHED = """
import os, sys, time
from pathlib import Path
from engine import supervise
folder, read, clock = Path(sys.argv[1]), os.read, time.monotonic
def reading(descriptor, size):
    found = read(descriptor, size)
    if found.startswith(b"."):
        with open(folder / "signs", "ab") as file:
            file.write(found)
    return found
supervise.os.read = reading
supervise.time.monotonic = lambda: clock() + 3600 * (folder / "an hour later").exists()
sys.exit(supervise.main())
"""


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[RunDir]:
    """A run folder, a fake engine, and this process's signals as they were afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(supervise, "ENGINE", FAKE)
    monkeypatch.setattr(supervise, "TICK", 0.05)
    yield tiny.new_run(tmp_path / "run", {"curriculum": {"path": "x"}})
    for number, handler in handlers.items():
        signal.signal(number, handler)


def supervised(run: RunDir, *lives: str, patience: float = HANG_AFTER) -> tiny.Ran:
    """Each life in the words of fake_engine.py; `patience` is less than a configuration may ask for."""
    (run.path / "lives.txt").write_text("\n".join(lives))
    supervisor = Supervisor(run)
    supervisor._limit = patience
    return tiny.Ran(run, supervisor.run())


def deaths(ran: tiny.Ran) -> list[tuple]:
    return [(event.status, event.signal, event.attempt, event.reason) for event in ran.of(e.EngineDied)]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT", "SIGSEGV"])
def test_an_engine_that_died_is_started_again_and_the_journal_says_why(run, name):
    ran = supervised(run, f"reach=1 signal={name}", "reach=2 finish=0")
    assert ran.status == 0 and deaths(ran) == [(None, name, 1, "")]
    assert [record.seq for record in ran.records] == list(range(len(ran.records)))
    assert f"engine died status=None signal={name}" in run.log.read_text()
    assert holder(run) is None


@pytest.mark.parametrize("status", [0, 1, 130])
def test_the_status_of_the_run_is_returned(run, status):
    assert supervised(run, f"finish={status} exit={status}").status == status


def test_a_crash_after_the_end_is_no_death(run):
    ran = supervised(run, "finish=1 signal=SIGSEGV")
    assert ran.status == 1 and deaths(ran) == []


def test_three_deaths_at_the_same_place_end_the_run_with_3(run):
    ran = supervised(run, "reach=1 signal=SIGKILL", "reach=1 signal=SIGKILL", "signal=SIGKILL", "finish=0")
    assert ran.status == 3 and [event.attempt for event in ran.of(e.EngineDied)] == [1, 2, 3]
    (failed,) = ran.of(e.Failed)
    assert failed.topic is None and "died 3 times at the same place (SIGKILL)" in failed.message


def test_an_engine_that_gets_further_may_die_more_often(run):
    ran = supervised(run, *(f"reach={step} signal=SIGKILL" for step in range(1, 6)), "finish=0")
    assert ran.status == 0 and [event.attempt for event in ran.of(e.EngineDied)] == [1] * 5


def test_an_engine_without_a_sign_of_life_is_ended_and_started_again(run):
    ran = supervised(run, "beat=0.2 sleep=60", "finish=0")
    ((status, name, attempt, reason),) = deaths(ran)
    assert (ran.status, status, name, attempt) == (0, None, "SIGKILL", 1)
    assert "no sign of life for" in reason and "engine died" in run.log.read_text()


def test_preparing_is_not_hanging(run):
    """No limit before the first sign."""
    ran = supervised(run, f"sleep={HANG_AFTER + 1} finish=0")
    assert ran.status == 0 and deaths(ran) == []


def test_each_sign_begins_the_count_anew(run, monkeypatch):
    """An hour passes with each sign, and none between two: only an engine that is silent for long is ended."""
    read, clock, hours = os.read, time.monotonic, []

    def reading(descriptor, size):
        found = read(descriptor, size)
        hours.extend("." * found.count(b"."))
        return found

    monkeypatch.setattr(supervise.os, "read", reading)
    monkeypatch.setattr(supervise.time, "monotonic", lambda: clock() + 3600 * len(hours))
    ran = supervised(run, "signs=4 finish=0", patience=PATIENT)
    assert len(hours) == 4 and ran.status == 0 and deaths(ran) == []


@pytest.mark.parametrize(("life", "status"), [("exit=2", 2), ("exit=3", 3), ("signal=SIGINT", 130)])
def test_what_is_not_started_again(run, life, status):
    """Bad input; an engine that could not go on and said why; one that a person ended."""
    ran = supervised(run, life, "finish=0")
    assert ran.status == status and deaths(ran) == [] and (run.path / "lives.txt").read_text() == "finish=0"


@pytest.mark.parametrize(
    ("lives", "status"),
    [
        (["refuse=data"], 2),
        (["restart=1 refuse=data"], 2),  # a person resumed it, and nothing was started
        (["reach=1 refuse=data"], 3),
        (["reach=1 signal=SIGKILL", "refuse=data"], 3),
        (["signal=SIGKILL", "exit=2"], 3),
    ],
)
def test_a_refusal_has_status_2_only_where_nothing_had_begun(run, lives, status):
    ran = supervised(run, *lives, "finish=0")
    assert ran.status == status and (run.path / "lives.txt").read_text() == "finish=0"


@pytest.fixture
def printed(run, monkeypatch) -> Iterator[None]:
    """What the fake engine prints goes where the real one's words go."""
    with open(run.output, "ab") as output:
        monkeypatch.setattr(
            supervise.subprocess,
            "Popen",
            lambda *args, popen=subprocess.Popen, **options: popen(*args, stdout=output, **options),
        )
        yield


@pytest.mark.parametrize("words", ["MemoryError", "std::bad_alloc", "[metal::malloc]"])
def test_memory_that_the_engine_speaks_of_is_the_reason(run, words, printed):
    ran = supervised(run, f"reach=1 print={words} exit=3", f"print={words} signal=SIGABRT", "finish=0")
    assert deaths(ran) == [(3, None, 1, e.OUT_OF_MEMORY), (None, "SIGABRT", 2, e.OUT_OF_MEMORY)] and ran.status == 0


@pytest.mark.parametrize(("enough", "status"), [(True, 0), (False, 3)])
def test_a_run_without_memory_comes_down_to_single_rows_before_it_ends(run, printed, enough, status):
    """In 1, 2, 4 and 8 pieces, of 8 rows."""
    settings = {"curriculum": {"path": "x"}, "sft": {"batch": 2}, "dpo": {"batch": 3}, "evaluation": {"batch": 8}}
    run.config.write_text(yaml.safe_dump(settings))
    ran = supervised(run, *["print=MemoryError exit=3"] * 3, "finish=0" if enough else "print=MemoryError exit=3")
    assert ran.status == status and len(deaths(ran)) == 3 + (not enough)
    assert [event.message.partition(";")[0] for event in ran.of(e.Failed)] == [
        "the engine died 4 times at the same place (out of memory)"
    ] * (not enough)


def test_a_line_whose_number_was_damaged_hides_no_end_of_the_run(run):
    asked(run, e.Preparing("a"), e.Preparing("b"))
    run.journal.write_bytes(without_sums(run.journal.read_bytes()).replace(b'"seq": 0,', b'"seq": 30000000,', 1))
    assert supervised(run, "finish=0").status == 0


def test_a_kill_by_the_kernel_for_lack_of_memory_is_told_from_a_persons(run, monkeypatch):
    counts = iter([4, 5, 5, 5, 5])
    monkeypatch.setattr(out_of_memory, "kernel_kills", lambda: next(counts))
    ran = supervised(run, "reach=1 signal=SIGKILL", "reach=2 signal=SIGKILL", "finish=0")
    assert [reason for *_, reason in deaths(ran)] == [e.OUT_OF_MEMORY, ""]


def test_the_kernels_count_is_read(tmp_path, monkeypatch):
    (tmp_path / "vmstat").write_text("nr_free_pages 12\noom_kill 7\nother 1\n")
    monkeypatch.setattr(out_of_memory, "VMSTAT", tmp_path / "vmstat")
    assert out_of_memory.kernel_kills() == 7
    monkeypatch.setattr(out_of_memory, "VMSTAT", tmp_path / "nothing")
    assert out_of_memory.kernel_kills() == 0


def when_asleep(run: RunDir, act: Callable[[], None]) -> None:
    """Does something once the fake engine sleeps, from a thread of its own."""

    def wait() -> None:
        while not (run.path / "asleep").exists():
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


def test_a_stop_is_passed_on_and_nothing_is_started_again(run):
    when_asleep(run, lambda: os.kill(os.getpid(), signal.SIGTERM))
    ran = supervised(run, "sleep=60", "finish=0")
    assert ran.status == 130 and ran.of(e.RunFinished)[0].exit_status == 130 and deaths(ran) == []


def test_stop_now_kills_the_engine_and_starts_no_other(run):
    when_asleep(run, lambda: os.kill(os.getpid(), signal.SIGQUIT))
    ran = supervised(run, "sleep=60", "finish=0")
    assert ran.status == 130 and ran.of(e.RunFinished) == [] and holder(run) is None


def test_a_terminal_that_goes_takes_neither_supervisor_nor_engine_with_it(run):
    """Whether or not they have a session of their own; the engine lives to hear that it is to stop."""
    heard: list[int] = []

    def hang_up() -> None:
        for process in (os.getpid(), holder(run)):
            os.kill(process, signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGHUP, lambda number, _frame: heard.append(number))
    when_asleep(run, hang_up)
    ran = supervised(run, "sleep=60", "finish=0")
    assert ran.status == 130 and ran.of(e.RunFinished)[0].exit_status == 130 and heard == []


def test_the_run_is_held_between_two_engines_and_refused_to_another(run):
    def look() -> None:
        with pytest.raises(InputError, match="already at work"):
            Lock(run)
        seen.append(holder(run))
        os.kill(seen[0], signal.SIGKILL)

    seen: list[int] = []
    when_asleep(run, look)
    ran = supervised(run, "sleep=60", "finish=0")
    assert ran.status == 0 and deaths(ran) == [(None, "SIGKILL", 1, "")] and seen != [os.getpid()]


def test_a_lock_of_another_run_is_not_taken_over(run, tmp_path):
    other = RunDir(tmp_path)
    other.lock.touch()
    lock = Lock(run)
    with pytest.raises(InputError, match="is not this run's"):
        Lock(other, lock.descriptor)
    lock.release()


def test_the_machine_is_kept_awake_where_there_is_a_program_for_it(run, tmp_path, monkeypatch):
    said = tmp_path / "said"
    program = tmp_path / "bin" / "caffeinate"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ $* > {said}.new && mv {said}.new {said}\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    supervised(run, "beat=1 finish=0")
    pid, *words = said.read_text().split()
    assert words == ["-is", "-w", str(os.getpid())]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.parametrize(("own", "steps"), [(True, supervise.NICE), (False, 0)])
def test_a_run_in_a_session_of_its_own_gives_way(own, steps):
    words = (
        "import os; from pathlib import Path; from engine.supervise import give_way; give_way(); "
        "group = Path('/proc/self/autogroup'); print(os.nice(0)); print(group.read_text() if group.exists() else '')"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, start_new_session=own)
    niceness, group = done.stdout.split("\n")[:2]
    assert int(niceness) == os.nice(0) + steps
    assert not own or not group or group.endswith(f" nice {steps}")


# With the real engine.


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 1)


def wait(condition: Callable[[], object], process: subprocess.Popen[bytes], run: RunDir) -> None:
    while not condition():
        assert process.poll() is None, run.output.read_text()
        time.sleep(0.05)


def test_ctrl_c_once_stops_with_a_checkpoint_of_the_last_step(sources, tmp_path):
    settings = tiny.settings(*sources, sft={"epochs": 4000, "accumulation": 1}, run={"checkpoint_every": 5000})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    command = [PROGRAM, "--no-ui", "mine.yaml", "--logs", "logs", "--run-id", "night"]
    run = RunDir(tmp_path / "logs" / "night")
    ran = tiny.Ran(run)
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait(lambda: run.journal.exists() and ran.of(e.Step), process, run)
        process.send_signal(signal.SIGINT)
        said, words = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130 and "stopping with a checkpoint; Ctrl-C again stops now" in words
    (saved,) = ran.of(e.Checkpointed)
    assert saved.step == ran.of(e.Step)[-1].step < 8000 and f"--resume {run.name} goes on from here" in said
    assert ran.of(e.RunFinished)[0].exit_status == 130 and holder(run) is None


def test_ctrl_c_twice_ends_a_stuck_engine_at_once_and_for_good(sources, tmp_path):
    settings = tiny.settings(*sources, sft={"epochs": 4000, "accumulation": 1}, run={"checkpoint_every": 500})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    command = [PROGRAM, "--no-ui", "mine.yaml", "--logs", "logs", "--run-id", "stuck"]
    run = RunDir(tmp_path / "logs" / "stuck")
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait(lambda: run.journal.exists() and tiny.Ran(run).of(e.Step), process, run)
        os.kill(holder(run), signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        wait(lambda: run.commands.exists(), process, run)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert holder(run) is None and tiny.Ran(run).of(e.EngineDied) == []


def test_a_run_whose_restart_is_refused_keeps_what_it_committed_and_goes_on_when_that_is_mended(tmp_path):
    """The data is edited while it trains; the engine that a supervisor starts instead of a dead one finds it so."""
    data = tiny.make_curriculum(tmp_path / "data", 1)
    settings = tiny.settings(tiny.make_model(tmp_path / "model"), data, dpo={"steps": 400, "learning_rate": 1e-6})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    command = [PROGRAM, "--no-ui", "--logs", "logs"]
    run = RunDir(tmp_path / "logs" / "night")
    ran = tiny.Ran(run)
    pipes = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen([*command, "mine.yaml", "--run-id", "night"], **pipes)
    rows = data / "sft.jsonl"
    good = rows.read_text()
    try:
        wait(lambda: run.journal.exists() and ran.of(e.Step, phase="dpo"), process, run)
        rows.write_text(good + '{"topic": "unit-01/chap')
        os.kill(holder(run), signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 3
    last = said.splitlines()[-1]
    assert "sft.jsonl:4: not a JSON object" in last and "--resume night goes on when that is mended" in last
    (committed,) = ran.committed()
    assert committed in ran.adapters()
    rows.write_text(good)
    done = subprocess.run([*command, "--resume", "night"], check=False, timeout=120, **pipes)
    assert done.returncode == 0 and set(ran.verdicts().values()) == {"passed"}
    assert ran.committed()[0] == committed and len(ran.committed()) == 2


def test_a_stopped_process_is_a_hang_and_a_paused_run_is_none(sources, tmp_path):
    """The real engine's own signs of life; and what it comes to is what it would have come to."""
    settings = tiny.settings(*sources, sft={"epochs": 30, "accumulation": 1}, run={"hang_after": PATIENT})
    peace = tiny.train_here(tiny.new_run(tmp_path / "peace", settings))
    run = tiny.new_run(tmp_path / "run", settings)
    process = tiny.start_engine(run, code=WATCHED)
    ran, signs = tiny.Ran(run), run.path / "signs"
    try:
        wait(lambda: run.journal.exists() and len(ran.of(e.Checkpointed)) > 5, process, run)
        assert os.getpriority(os.PRIO_PROCESS, holder(run)) == os.nice(0) + supervise.NICE
        tiny.ask(run, "p1", "pause")
        wait(lambda: ran.of(e.Paused), process, run)
        given = signs.stat().st_size
        wait(lambda: signs.stat().st_size > given + 2, process, run)  # it goes on giving them while it is paused
        assert ran.of(e.EngineDied) == [] and ran.records[-1].event.kind == "paused"
        os.kill(holder(run), signal.SIGSTOP)
        (run.path / "an hour later").touch()
        wait(lambda: len(ran.of(e.Paused)) == 2, process, run)  # started again, and paused again
        tiny.ask(run, "r1", "resume")
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
    (died,) = ran.of(e.EngineDied)
    assert "no sign of life" in died.reason and ran.adapters() == peace.adapters() and ran.told() == peace.told()


def test_an_engine_whose_supervisor_was_killed_goes_on_and_keeps_the_run(run):
    (run.path / "lives.txt").write_text("sleep=1 beat=1 finish=0")
    code = f"from engine import supervise as s; s.ENGINE = {FAKE!r}; s.main()"
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=tiny.ROOT)
    wait(lambda: (run.path / "asleep").exists(), process, run)
    process.kill()
    process.wait()
    assert holder(run) is not None
    while holder(run) is not None:
        time.sleep(0.05)
    assert tiny.Ran(run).of(e.RunFinished)


def test_a_lock_that_is_deleted_lets_no_second_engine_in(sources, tmp_path):
    """Two engines that write one journal leave a run that cannot be resumed."""
    config = tiny.settings(*sources, sft={"epochs": 40, "accumulation": 1}, adapters={"strategy": "sft_only"})
    run = tiny.new_run(tmp_path / "run", config)
    first = tiny.start_engine(run, "engine.supervise")
    until = time.monotonic() + 120
    while not tiny.Ran(run).of(e.Step):
        assert first.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    run.lock.unlink()
    second = tiny.start_engine(run, "engine.supervise")
    assert second.wait(timeout=120) == 2
    assert "an engine is already at work on this run" in run.output.read_text()
    assert first.wait(timeout=300) == 0
    assert len(tiny.Ran(run).of(e.RunStarted)) == 1 and not tiny.Ran(run).of(e.EngineRestarted)
