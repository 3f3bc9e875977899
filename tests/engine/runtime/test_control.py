"""A person's requests: what is understood, what is refused and why, and that each is answered exactly once."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.contract.errors import InputError, Unwritable
from engine.contract.journal import events as e
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.commands import KINDS, WITH_TOPIC, BadCommand, Command, append, new_command, parse
from engine.contract.run_folder.folder import RunDir, create
from engine.rules.enforce import Broken
from engine.runtime.control import Control, Skip, Stop
from engine.runtime.recorder import Recorder

ONE, TWO, THREE = (f"unit-01/chapter-01/topic-0{i}" for i in (1, 2, 3))


def written(**fields: object) -> bytes:
    return json.dumps({"id": "a", "kind": "pause", "by": "ann@tty1"} | fields).encode()


# --- the lines


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_appended_is_what_is_parsed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "commands.jsonl"
    command = new_command(kind, TWO)
    append(path, command)
    line = path.read_bytes()
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert parse(line[:-1], 0) == command
    assert command.topic == (TWO if kind in WITH_TOPIC else None)
    assert "@" in command.by
    assert path.stat().st_mode & 0o077 == 0


def test_fresh_commands_have_ids_of_their_own() -> None:
    assert len({new_command("pause").id for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("kind", "topic"), [("dance", None), ("skip", None), ("skip", "../../etc"), ("retry", "topic-01")]
)
def test_what_cannot_be_asked_is_not_written(kind: str, topic: str | None) -> None:
    with pytest.raises(InputError):
        new_command(kind, topic)


@pytest.mark.parametrize(
    ("line", "id", "reason"),
    [
        (b"pause", "line-at-70", "not JSON"),
        (b"\xff\xfe\x80", "line-at-70", "not JSON"),
        (b"\x00\x00\x00\x00", "line-at-70", "not JSON"),
        (b"[" * 4000, "line-at-70", "not JSON"),
        (b"9" * 4096, "line-at-70", "not"),
        (b"[]", "line-at-70", "not an object"),
        (b"null", "line-at-70", "not an object"),
        (b'"pause"', "line-at-70", "not an object"),
        (b"{}", "line-at-70", "id must be"),
        (written(id=7), "line-at-70", "id must be"),
        (written(id=["a"]), "line-at-70", "id must be"),
        (written(id=""), "line-at-70", "id must be"),
        (written(id="a" * 65), "line-at-70", "id must be"),
        (written(id="../../etc/passwd"), "line-at-70", "id must be"),
        (written(id="a\n"), "line-at-70", "id must be"),
        (written(id="a\x00"), "line-at-70", "id must be"),
        (written(id="\u0430"), "line-at-70", "id must be"),  # a Cyrillic a
        (written(id="\u0663"), "line-at-70", "id must be"),  # an Arabic 3
        (written(id="\x1b]52;c;"), "line-at-70", "id must be"),
        (written(kind="dance"), "a", "unknown command"),
        (written(kind="Pause"), "a", "unknown command"),
        (written(kind="p\u0430use"), "a", "unknown command"),
        (written(kind="pause\x00"), "a", "unknown command"),
        (written(kind=["pause"]), "a", "unknown command"),
        (written(kind={"pause": 1}), "a", "unknown command"),
        (written(kind=None), "a", "unknown command"),
        (written(kind="skip"), "a", "needs a topic id such as unit-01/chapter-01/topic-01; found nothing"),
        (written(kind="skip", topic="nope"), "a", "topic-01; found 'nope'"),
        (written(kind="skip", topic=3), "a", "needs a topic id"),
        (written(kind="skip", topic="../../../etc/passwd"), "a", "needs a topic id"),
        (written(kind="skip", topic="/etc/passwd"), "a", "needs a topic id"),
        (written(kind="skip", topic="a/../b"), "a", "needs a topic id"),
        (written(kind="skip", topic="a/./b"), "a", "needs a topic id"),
        (written(kind="skip", topic="a//b"), "a", "needs a topic id"),
        (written(kind="skip", topic="a/b/c/d"), "a", "needs a topic id"),
        (written(kind="skip", topic=ONE + "\n"), "a", "needs a topic id"),
        (written(kind="skip", topic=ONE + "\x00"), "a", "needs a topic id"),
        (written(kind="skip", topic=ONE.replace("o", "\u043e")), "a", "needs a topic id"),
        (written(kind="skip", topic=ONE.replace("/", "\u2215")), "a", "needs a topic id"),
        (written(kind="skip", topic=ONE.upper()), "a", "needs a topic id"),
        (written(kind="skip", topic=f"{'a' * 65}/b/c"), "a", "needs a topic id"),
        (written(by="x" * 5000), "line-at-70", "4096 at most"),
    ],
)
def test_a_bad_line_gets_a_reason(line: bytes, id: str, reason: str) -> None:
    found = parse(line, 70)
    assert isinstance(found, BadCommand)
    assert found.id == id
    assert reason in found.reason


def test_the_longest_line_is_four_kilobytes() -> None:
    line = written(by="")
    full = line.replace(b'"by": ""', b'"by": "' + b"x" * (4096 - len(line)) + b'"')
    assert len(full) == 4096
    found = parse(full, 0)
    assert isinstance(found, Command) and len(found.by) == 80
    assert isinstance(parse(full + b" ", 0), BadCommand)


def test_a_sender_without_a_name_is_unknown() -> None:
    assert parse(written(by=7), 0) == Command("a", "pause", None, "unknown")


def test_damaged_lines_raise_nothing() -> None:
    rng, good = random.Random(3), written(kind="skip", topic=ONE)
    commands = 0
    for _ in range(3000):
        where, until = sorted(rng.randrange(len(good) + 1) for _ in range(2))
        piece = rng.choice((b"", b'"', b"\x00", b"\xff", b"null", b"{", b"9" * 5000, rng.randbytes(4)))
        found = parse(good[:where] + piece + good[until:], 5)
        assert isinstance(found, Command) or found.reason
        commands += isinstance(found, Command)
    assert 0 < commands < 1500


def test_several_writers_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    asked = [new_command("skip", ONE) for _ in range(200)]
    threads = [threading.Thread(target=lambda n=n: [append(path, c) for c in asked[n::4]]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [parse(line, 0) for line in path.read_bytes().splitlines()]
    assert {c.id for c in found} == {c.id for c in asked} and all(isinstance(c, Command) for c in found)


def test_a_line_without_its_end_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(written(kind="dance", id="hand"))
    append(path, new_command("pause"))
    found = [parse(line, 0) for line in path.read_bytes().splitlines()]
    assert [type(item) for item in found] == [BadCommand, Command]


# --- the engine's side


class Desk:
    """A run folder with a Control and somebody who asks."""

    def __init__(self, run: RunDir, answered: tuple[str, ...] = ()) -> None:
        self.run = run
        self.recorder = Recorder(run)
        self.control = Control(run, self.recorder, [ONE, TWO, THREE], answered)

    def ask(self, kind: str, topic: str | None = None) -> str:
        command = new_command(kind, topic)
        append(self.run.commands, command)
        return command.id

    def raw(self, line: bytes) -> None:
        with open(self.run.commands, "ab") as file:
            file.write(line + b"\n")

    def answers(self) -> list[e.CommandTaken]:
        return [event for event in self.events() if isinstance(event, e.CommandTaken)]

    def answer(self, id: str) -> e.CommandTaken:
        found = [answer for answer in self.answers() if answer.id == id]
        assert len(found) == 1, f"{id} was answered {len(found)} times"
        return found[0]

    def events(self) -> list[e.Event]:
        return [record.event for record in read_journal(self.run.journal)]

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, self.events()
            time.sleep(0.005)

    def paused(self) -> bool:
        return any(isinstance(event, e.Paused) for event in self.events())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("engine.runtime.control.PAUSE_TICK", 0.005)
    desk = Desk(create(tmp_path, "run"))
    yield desk
    desk.recorder.close()


class Beside:
    """Runs a function beside the engine's one; its exception is raised at the end, so that none is lost."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(work,))

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in __exit__
            self.error = error

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        if self.error is not None:
            raise self.error


def test_nothing_asked_is_nothing_said(desk: Desk) -> None:
    desk.control.poll()
    desk.control.boundary()
    desk.control.close()
    assert desk.events() == []


def test_bad_lines_are_refused_once_each_with_their_reason(desk: Desk) -> None:
    desk.raw(b"pause please")
    desk.raw(b"")
    desk.raw(b"   ")
    desk.raw(written(id="x1", kind="dance"))
    desk.raw(written(id="x2", kind="skip", topic="../.."))
    desk.control.poll()
    desk.control.poll()
    desk.control.close()
    assert [(a.id, a.outcome) for a in desk.answers()] == [(i, "refused") for i in ("line-at-0", "x1", "x2")]
    assert all(answer.reason for answer in desk.answers())


def test_a_topic_that_the_run_does_not_have_is_refused_with_its_nearest(desk: Desk) -> None:
    id = desk.ask("skip", "unit-01/chapter-01/topic-9")
    desk.control.poll()
    assert desk.answer(id).outcome == "refused" and "did you mean 'unit-01/chapter-01/topic-" in desk.answer(id).reason


def test_a_pause_holds_until_somebody_resumes(desk: Desk) -> None:
    held: list[str] = []
    desk.control.on_pause = lambda: held.append("checkpoint saved")
    pause, resume = desk.ask("pause"), ""

    def person() -> None:
        nonlocal resume
        desk.until(desk.paused)
        assert held == ["checkpoint saved"]
        again = desk.ask("pause")
        desk.until(lambda: any(a.id == again for a in desk.answers()))
        assert not held[1:]
        held.append("still paused")
        resume = desk.ask("resume")

    with Beside(person):
        desk.control.poll()
    assert held == ["checkpoint saved", "still paused"]
    assert desk.answer(pause).outcome == desk.answer(resume).outcome == "done"
    assert [type(event) for event in desk.events() if not isinstance(event, e.CommandTaken)] == [e.Paused, e.Resumed]
    assert Counter(answer.outcome for answer in desk.answers()) == {"done": 2, "refused": 1}


def test_pause_and_resume_that_arrive_together_do_not_hold_for_ever(desk: Desk) -> None:
    ids = [desk.ask("pause"), desk.ask("resume"), desk.ask("resume"), desk.ask("skip", TWO)]
    desk.control.poll()
    assert [desk.answer(id).outcome for id in ids] == ["done", "done", "refused", "done"]
    assert "not paused" in desk.answer(ids[2]).reason


def test_while_paused_the_rest_is_still_taken(desk: Desk) -> None:
    desk.control.status[ONE] = "finished"
    desk.control.reevaluate = lambda topic: f"scored {topic}"
    desk.ask("pause")

    def person() -> None:
        desk.until(desk.paused)
        ids = [desk.ask("skip", TWO), desk.ask("reevaluate", ONE), desk.ask("retry", ONE)]
        desk.until(lambda: {a.id for a in desk.answers()} >= set(ids))
        assert desk.answer(ids[1]).reason == f"scored {ONE}"
        assert not any(isinstance(event, e.Resumed) for event in desk.events())
        desk.ask("resume")

    with Beside(person):
        desk.control.poll()
    assert set(desk.control.skipped) == {TWO} and desk.control.retries == [ONE]


def test_a_stop_ends_a_pause(desk: Desk) -> None:
    desk.ask("pause")
    ids: list[str] = []

    def person() -> None:
        desk.until(desk.paused)
        ids.append(desk.ask("stop"))

    with Beside(person), pytest.raises(Stop):
        desk.control.poll()
    assert desk.answer(ids[0]).outcome == "done"


def test_a_signal_ends_a_pause(desk: Desk) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    desk.control.listen()
    try:
        desk.ask("pause")

        def person() -> None:
            desk.until(desk.paused)
            os.kill(os.getpid(), signal.SIGTERM)

        with Beside(person), pytest.raises(Stop) as caught:
            desk.control.poll()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert caught.value.by == "SIGTERM"


def test_a_skip_of_the_running_topic_does_not_end_a_pause(desk: Desk) -> None:
    desk.control.status[ONE] = "running"
    desk.ask("pause")
    desk.ask("skip", ONE)
    with pytest.raises(Skip):
        desk.control.poll()
    desk.control.status[ONE] = "finished"
    seen: list[bool] = []

    def person() -> None:
        desk.until(lambda: len(desk.answers()) == 2)
        seen.append(any(isinstance(event, e.Resumed) for event in desk.events()))
        desk.ask("resume")

    with Beside(person):
        desk.control.boundary()
    assert seen == [False]
    assert any(isinstance(event, e.Resumed) for event in desk.events())


def test_a_skip_says_what_it_found(desk: Desk) -> None:
    desk.control.status |= {ONE: "finished", TWO: "running"}
    late, later, now = desk.ask("skip", ONE), desk.ask("skip", THREE), desk.ask("skip", TWO)
    behind = desk.ask("retry", ONE)
    with pytest.raises(Skip) as caught:
        desk.control.poll()
    assert "skipped by " in str(caught.value)
    assert desk.answer(late).outcome == "refused" and "finished" in desk.answer(late).reason
    assert desk.answer(later).outcome == "done" and list(desk.control.skipped) == [THREE]
    assert desk.answer(now).outcome == "done" and "nothing of its phase is committed" in desk.answer(now).reason
    desk.control.poll()
    assert desk.answer(behind).outcome == "done", "what stood behind the skip is not lost"


def test_only_a_finished_topic_can_be_retried_and_once_at_a_time(desk: Desk) -> None:
    desk.control.status |= {ONE: "finished", TWO: "running"}
    ids = [desk.ask("retry", topic) for topic in (ONE, TWO, THREE, ONE)]
    desk.control.poll()
    assert [desk.answer(id).outcome for id in ids] == ["done", "refused", "refused", "refused"]
    assert desk.control.retries == [ONE] and desk.control.status[ONE] == "pending"


def test_a_skip_takes_a_retry_back_that_waits(desk: Desk) -> None:
    desk.control.status[ONE] = "finished"
    ids = [desk.ask("retry", ONE), desk.ask("skip", ONE), desk.ask("skip", ONE), desk.ask("retry", ONE)]
    desk.control.poll()
    assert [desk.answer(id).outcome for id in ids] == ["done", "done", "refused", "done"]
    assert "stay" in desk.answer(ids[1]).reason
    assert desk.control.retries == [ONE] and desk.control.skipped == {}


def test_a_retry_that_the_run_owes_comes_first_and_a_skip_takes_it_back_too(desk: Desk) -> None:
    desk.control.status |= {ONE: "finished", TWO: "running"}
    desk.control.end(TWO, again=True)
    ids = [desk.ask("retry", ONE), desk.ask("retry", TWO)]
    desk.control.poll()
    assert [desk.answer(id).outcome for id in ids] == ["done", "refused"], "it is trained again anyway"
    assert desk.control.upcoming() == TWO
    ids = [desk.ask("skip", TWO), desk.ask("skip", TWO), desk.ask("retry", TWO)]
    desk.control.poll()
    assert [desk.answer(id).outcome for id in ids] == ["done", "refused", "done"]
    assert "stay" in desk.answer(ids[0]).reason
    order = []
    while (topic := desk.control.upcoming()) is not None:
        desk.control.begin(topic)
        desk.control.end(topic, again=False)
        order.append(topic)
    assert order == [THREE, ONE, TWO], "a person's retry comes after the others"


def test_a_reevaluation_waits_for_a_boundary(desk: Desk) -> None:
    desk.control.reevaluate = lambda topic: f"voice 0.50 of {topic}"
    id = desk.ask("reevaluate", TWO)
    desk.control.poll()
    assert desk.answers() == []
    desk.control.boundary()
    assert (desk.answer(id).outcome, desk.answer(id).reason) == ("done", f"voice 0.50 of {TWO}")


def test_a_reevaluation_that_is_cut_short_is_answered_too(desk: Desk) -> None:
    def scoring(topic: str) -> str:
        desk.ask("stop")
        desk.control.poll()
        return "not reached"

    desk.control.reevaluate = scoring
    id = desk.ask("reevaluate", TWO)
    with pytest.raises(Stop):
        desk.control.boundary()
    assert desk.answer(id).outcome == "refused" and "stopped by" in desk.answer(id).reason


def raising(error: Exception) -> Callable[[str], str]:
    def scoring(topic: str) -> str:
        raise error

    return scoring


def test_an_error_in_a_reevaluation_is_answered_and_journaled_and_ends_nothing_else(desk: Desk) -> None:
    desk.control.reevaluate = raising(RuntimeError("the embedder is gone"))
    ids = [desk.ask("reevaluate", TWO), desk.ask("reevaluate", ONE)]
    desk.control.boundary()
    for id in ids:
        assert (desk.answer(id).outcome, desk.answer(id).reason) == ("refused", "not scored: the embedder is gone")
    failed = [event for event in desk.events() if isinstance(event, e.Failed)]
    assert [event.topic for event in failed] == [TWO, ONE]
    assert failed[0].message == "RuntimeError: the embedder is gone" and "in scoring" in failed[0].traceback


@pytest.mark.parametrize(
    "error",
    [
        Broken("stop-as-counted", "the first token is another"),
        Unwritable(Path("journal.jsonl"), OSError(28, "no space")),
        MemoryError(),
        RuntimeError("[metal::malloc] Attempting to allocate 9 bytes"),
    ],
)
def test_what_ends_more_than_a_reevaluation_is_answered_and_passes(desk: Desk, error: Exception) -> None:
    desk.control.reevaluate = raising(error)
    id = desk.ask("reevaluate", TWO)
    with pytest.raises(type(error)):
        desk.control.boundary()
    assert desk.answer(id).outcome == "refused"
    assert not any(isinstance(event, e.Failed) for event in desk.events())


def test_a_resume_during_a_reevaluation_in_a_pause_counts(desk: Desk) -> None:
    ids: list[str] = []

    def scoring(topic: str) -> str:
        ids.append(desk.ask("resume"))
        desk.control.poll()  # as between two generated tokens: it must neither hold nor refuse
        return "scored"

    desk.control.reevaluate = scoring
    ids += [desk.ask("pause"), desk.ask("reevaluate", TWO)]
    desk.control.poll()
    assert [desk.answer(id).outcome for id in ids] == ["done"] * 3


def test_a_pause_during_a_reevaluation_holds_it(desk: Desk) -> None:
    order: list[str] = []

    def scoring(topic: str) -> str:
        desk.ask("pause")
        desk.control.poll()
        order.append("scored")
        return "scored"

    def person() -> None:
        desk.until(desk.paused)
        order.append("resumed")
        desk.ask("resume")

    desk.control.reevaluate = scoring
    desk.ask("reevaluate", TWO)
    with Beside(person):
        desk.control.boundary()
    assert order == ["resumed", "scored"]


def test_stop_is_answered_and_what_is_left_is_refused(desk: Desk) -> None:
    desk.control.status[ONE] = "finished"
    early, stop = desk.ask("reevaluate", ONE), desk.ask("stop")
    behind = [desk.ask("pause"), desk.ask("retry", ONE)]
    desk.raw(b"not JSON")
    with pytest.raises(Stop) as caught:
        desk.control.poll()
    assert "@" in caught.value.by
    assert desk.answer(stop).outcome == "done"
    late = desk.ask("skip", THREE)
    desk.control.close()
    for id in (early, *behind, late):
        assert (desk.answer(id).outcome, desk.answer(id).reason) == ("refused", "the run is over")
    assert desk.answers()[-2].reason == "not JSON"
    desk.control.close()
    assert len(desk.answers()) == 6


def test_the_same_id_again_asks_for_nothing_new(desk: Desk) -> None:
    desk.control.reevaluate = lambda topic: "scored"
    for _ in range(3):
        desk.raw(written(id="same", kind="reevaluate", topic=ONE))
    desk.raw(written(id="same", kind="stop"))
    desk.control.boundary()
    desk.raw(written(id="same", kind="skip", topic=ONE))
    desk.control.close()
    assert desk.answer("same").reason == "scored"


def test_after_a_restart_old_commands_stay_answered(tmp_path: Path) -> None:
    first = Desk(create(tmp_path, "run"))
    stop, waiting = first.ask("stop"), first.ask("reevaluate", ONE)
    with pytest.raises(Stop):
        first.control.poll()
    first.recorder.close()  # as in a kill: nothing was closed, and the re-evaluation has no answer yet
    second = Desk(first.run, tuple(answer.id for answer in first.answers()))
    second.control.reevaluate = lambda topic: "scored after all"
    second.control.boundary()
    assert second.answer(stop).outcome == "done"
    assert second.answer(waiting).reason == "scored after all"
    second.recorder.close()


def test_a_stop_and_a_pause_that_nobody_was_there_to_hear_are_refused_and_the_rest_is_done(desk: Desk) -> None:
    stop, pause, skip = desk.ask("stop"), desk.ask("pause"), desk.ask("skip", TWO)
    desk.control.unheard = desk.run.commands.stat().st_size
    heard = [desk.ask("pause"), desk.ask("resume"), desk.ask("stop")]
    with pytest.raises(Stop):
        desk.control.poll()
    for id in (stop, pause):
        assert desk.answer(id).outcome == "refused" and "before this engine was started" in desk.answer(id).reason
    assert [desk.answer(stop).command, desk.answer(pause).command] == ["stop", "pause"]
    assert list(desk.control.skipped) == [TWO]
    assert [desk.answer(id).outcome for id in (skip, *heard)] == ["done"] * 4


def test_a_storm_of_commands_is_answered_one_by_one(desk: Desk) -> None:
    rng = random.Random(5)
    desk.control.status[ONE] = "running"
    desk.control.reevaluate = lambda topic: "scored"
    ids = []
    for _ in range(120):
        kind = rng.choice(KINDS)
        ids.append(desk.ask(kind, rng.choice((ONE, TWO, THREE))))
        if rng.random() < 0.1:
            desk.raw(rng.randbytes(20).replace(b"\n", b""))
    desk.ask("resume")
    for _ in range(200):
        try:
            desk.control.boundary()
            break
        except (Stop, Skip):
            continue
    desk.control.close()
    counts = Counter(answer.id for answer in desk.answers())
    assert set(counts.values()) == {1}
    assert set(ids) <= set(counts)
    log = desk.run.log.read_text()
    assert all(f"id={id}" in log for id in ids)


def test_a_flood_of_commands_is_spread_over_many_polls(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 lines stopped training for minutes: one poll took them all, and flushed each answer to the disk."""
    flushed: list[int] = []
    monkeypatch.setattr("engine.contract.journal.store.flush_to_disk", flushed.append)
    lines = 4000
    desk.run.commands.write_bytes(b"".join(written(id=f"a{i}", kind="resume") + b"\n" for i in range(lines)))
    desk.control.poll()
    assert 8 <= len(desk.answers()) < lines
    polls = 1
    while len(desk.answers()) < lines and polls < lines:
        for _ in range(50):
            desk.control.poll()
        polls += 50
    assert Counter(answer.id for answer in desk.answers()) == {f"a{i}": 1 for i in range(lines)}
    assert flushed == []


def test_a_flood_of_lines_with_one_id_is_spread_too(desk: Desk) -> None:
    lines = 200_000
    desk.run.commands.write_bytes((written(id="a", kind="resume") + b"\n") * lines)
    desk.control.poll()
    stop = desk.ask("stop")
    assert [answer.id for answer in desk.answers()] == ["a"]
    with pytest.raises(Stop):
        for _ in range(lines):
            desk.control.poll()
    assert desk.answer(stop).outcome == "done"


def test_a_topic_waits_once_to_be_scored_and_once_to_be_skipped(desk: Desk) -> None:
    desk.control.reevaluate = lambda topic: "scored"
    first, again = desk.ask("reevaluate", TWO), desk.ask("reevaluate", TWO)
    skip, more = desk.ask("skip", THREE), desk.ask("skip", THREE)
    desk.control.boundary()
    assert [desk.answer(id).outcome for id in (first, again, skip, more)] == ["done", "refused", "done", "refused"]
    later = desk.ask("reevaluate", TWO)
    desk.control.boundary()
    assert desk.answer(later).outcome == "done"
