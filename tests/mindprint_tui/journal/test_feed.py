"""The feed: slices, torn lines, repeated and unknown events, answers on demand, and whether the engine is there."""

import itertools
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from check_sums import without_sums
from golden import Open, put, said, shown, until
from hypothesis import given, settings
from hypothesis import strategies as st
from make import journal
from msgspec.structs import replace

from engine.contract.journal.codec import decode, encode
from engine.contract.journal.events import (
    CurriculumLoaded,
    Paused,
    Record,
    Resumed,
    RunFinished,
    RunStarted,
    Sample,
    Step,
    TopicFinished,
    TopicInfo,
    TopicStarted,
)
from engine.contract.journal.store import JournalWriter
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import Lock
from mindprint_tui import cli
from mindprint_tui.journal import feed as feeds
from mindprint_tui.journal.feed import Feed, Samples
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.journal.sanitize import clean_event, is_plain
from mindprint_tui.journal.step_batch import Stretch
from mindprint_tui.tui.screens import runs

TOPIC = "unit-01/chapter-01/topic-01"
Story = Callable[[str], RunDir]


def test_everything_but_answers_is_read_in_order(story: Story) -> None:
    feed = Feed(story("happy"))
    seqs = []
    while records := feed.read():
        seqs += [record.seq for record in records]
        assert not any(isinstance(record.event, Sample) for record in records)
    assert seqs == sorted(set(seqs))
    assert feed.drained
    assert feed.progress == 1.0


def test_a_torn_line_is_waited_for(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    line = encode(Record(0, 1.0, Paused("me")))
    run.journal.write_bytes(line[:20])
    feed = Feed(run)
    assert feed.read() == []
    run.journal.write_bytes(line)
    assert feed.read() == [Record(0, 1.0, Paused("me"))]


def test_repeated_unknown_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    lines = [
        encode(Record(3, 1.0, Paused("\x1b"))),
        encode(Record(3, 1.0, Paused("again"))),
        b'{"v": 9, "seq": 4, "t": 2.0, "kind": "danced"}\n',
        b"\xff\xfe not a line\n",
        encode(Record(2, 1.0, Paused("late"))),
        encode(Record(5, 3.0, Resumed("me"))),
    ]
    run.journal.write_bytes(b"".join(lines))
    assert [record.event for record in Feed(run).read()] == [Paused("␛"), Resumed("me")]


@pytest.mark.parametrize("read", [Feed.read, Feed.skim])
def test_lines_that_could_not_be_read_are_counted(story: Story, read: Callable[[Feed], object]) -> None:
    run = story("happy")
    lines = run.journal.read_bytes().splitlines(keepends=True)
    steps = [place for place, line in enumerate(lines) if b'"kind": "step"' in line]
    torn, untyped = steps[3], steps[5]
    lines[torn] = lines[torn][:90] + b"\n"
    lines[untyped] = without_sums(lines[untyped]).replace(b'"loss": ', b'"loss": "none", "was": ')
    newer = b'{"v": 9, "seq": %d, "t": 2.0, "kind": "danced"}\n' % len(lines)
    run.journal.write_bytes(b"".join([*lines, newer, b"not JSON\n"]))
    feed = Feed(run)
    for _ in feed.rest(lambda: read(feed)):
        pass
    assert feed.damaged == 3


def test_a_damaged_last_step_does_not_take_those_before_it_along(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    lines = [encode(Record(n, 1.0 + n, Step(TOPIC, "sft", n, 9, 0.5, 1e-3, 1.0, 9, 9, 1.0, 1))) for n in range(4)]
    lines[3] = without_sums(lines[3]).replace(b'"tokens": 9', b'"tokens": "many"')
    run.journal.write_bytes(b"".join(lines))
    feed = Feed(run)
    (stretch,) = feed.skim()
    assert isinstance(stretch, Stretch)
    assert [step for _, step, _ in stretch.points] == [0, 1, 2] and stretch.last.step == 2
    assert feed.damaged == 1


@pytest.mark.parametrize("number", [10**17, 60])
@pytest.mark.parametrize("kind", ["step", "sample", "evaluated", "run_started"])
def test_a_damaged_number_hides_no_later_line(story: Story, kind: str, number: int) -> None:
    run = story("finished")
    shown = events(run)
    lines = run.journal.read_bytes().splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if b'"kind": "%s"' % kind.encode() in line)
    lines[place] = without_sums(lines[place]).replace(b'"seq": %d,' % place, b'"seq": %d,' % number)
    run.journal.write_bytes(b"".join(lines))
    assert events(run) == shown
    feed, skimmed, whole = Feed(run), RunState(), fold(RunState(), Feed(run).read(60))
    while records := feed.skim():
        skimmed = fold(skimmed, records)
    assert repr(skimmed) == repr(whole)


def events(run: RunDir) -> list[object]:
    return [record.event for record in Feed(run).read(60)]


def test_an_engine_that_counts_on_from_a_damaged_number_is_followed(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    numbers = [0, 1, 10**17, 2, 3, 10**17 + 1, 10**17 + 2, 3, 10**17 + 2, 10**17 + 3]
    run.journal.write_bytes(b"".join(encode(Record(number, 1.0, Paused("me"))) for number in numbers))
    read = [record.seq for record in Feed(run).read()]
    assert read == [0, 1, 10**17, 2, 3, 10**17 + 1, 10**17 + 2, 10**17 + 3]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 lines take 6 ms, however fast this machine is."""
    looks = itertools.count()
    monkeypatch.setattr(feeds.time, "monotonic", lambda: 0.006 * next(looks))


def test_a_slice_ends_in_time(story: Story, slow: None) -> None:
    feed = Feed(story("long-20000"))
    assert feed.read(0.01)[-1].seq == 127
    assert not feed.drained
    assert 0 < feed.progress < 1


@pytest.mark.parametrize("read", [Feed.read, Feed.skim])
def test_a_slice_of_answers_alone_is_not_the_end(tmp_path: Path, slow: None, read: Callable[..., list[Record]]) -> None:
    run = RunDir(tmp_path / "logs" / "night")
    answer = Sample(TOPIC, "before", "What?", "That.", "This.", 1, "eos", (), (), {})
    put(run.path, said(Paused("me"), *[answer] * 300, Resumed("me")))
    feed = Feed(run)
    slices = [[record.event for record in records] for records in feed.rest(lambda: read(feed, 0.01))]
    assert slices[0] == [Paused("me")] and [] in slices and slices[-1] == [Resumed("me")] and feed.drained


def test_the_runs_are_listed_as_their_journals_end(
    tmp_path: Path, slow: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Sample(TOPIC, "before", "What?", "That.", "This.", 1, "eos", (), (), {})
    opened = RunStarted("night", "c", 0, 1, {}), CurriculumLoaded((TopicInfo(TOPIC, "Lamps", 8, 2, 600),), ())
    ended = TopicStarted(TOPIC, 1, 1), TopicFinished(TOPIC, "passed", "", 1.0), RunFinished(1, 1, 0, "f", 9.0)
    put(tmp_path / "night", said(*opened, *[answer] * 600, *ended))
    cli.cli(["runs", "--logs", str(tmp_path)], standalone_mode=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "night" in line]
    assert "1/1" in line and "died" not in line


def test_the_lock_says_whether_the_engine_is_there_and_silence_does_not(tmp_path: Path) -> None:
    now = 100.0
    run = RunDir(tmp_path)
    run.journal.write_bytes(encode(Record(0, 90.0, Paused("me"))))
    feed = Feed(run, clock=lambda: now)
    feed.read()
    assert feed.liveness() == feeds.Liveness("gone", 10.0)
    lock = Lock(run)
    assert feed.liveness() == feeds.Liveness("alive", 10.0)
    now += 1000
    assert feed.liveness() == feeds.Liveness("silent", 1010.0)
    lock.release()
    assert feed.liveness().word == "gone"


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("unit-01/chapter-01/topic-01", [Sample] * 2 + [TopicStarted] + [Sample] * 4),
        ("unit-09/chapter-01/topic-01", []),
    ],
)
def test_answers_of_one_topic(story: Story, topic: str, told: list[type]) -> None:
    found, whole = Samples(story("rolled-back"), topic).read(1.0)
    assert (list(map(type, found)), whole) == (told, True)
    assert {event.topic for event in found} <= {topic}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("happy", "restarted", "hostile")), st.lists(st.integers(0, 60_000), max_size=8))
def test_wherever_the_writing_stops_for_a_moment_the_state_is_the_same(name: str, stops: list[int]) -> None:
    data = journal(name)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        feed, state = Feed(run), RunState()
        for first, last in itertools.pairwise([0, *sorted(stop % len(data) for stop in stops), len(data)]):
            with open(run.journal, "ab") as file:
                file.write(data[first:last])
            while records := feed.skim():
                state = fold(state, records)
    assert repr(state) == repr(whole(name))


@pytest.mark.parametrize("name", ["happy", "not-a-number", "hostile", "collapsed"])
def test_a_plain_line_needs_no_cleaning(name: str) -> None:
    plain = 0
    for line in journal(name).splitlines():
        if is_plain(line):
            assert clean_event(decode(line).event) == decode(line).event
            plain += 1
    assert plain > 3
    for odd in (b"\x7f", b"\\u001b[2J", "\u202e".encode(), b"x" * 20_001):
        assert not is_plain(b'{"message": "' + odd + b'"}')


@cache
def whole(name: str) -> RunState:
    return fold(RunState(), [Record(r.seq, r.t, clean_event(r.event)) for r in map(decode, journal(name).splitlines())])


@pytest.mark.parametrize("name", ["happy", "not-a-number", "restarted", "hostile", "long-3000"])
def test_skimming_leads_to_the_same_state(story: Story, name: str) -> None:
    run = story(name)
    slow, fast = RunState(), RunState()
    skimmed, whole = Feed(run, clock=lambda: 2e9), Feed(run, clock=lambda: 2e9)
    while records := whole.read():
        slow = fold(slow, records)
    while stretches := skimmed.skim(0.001):
        fast = fold(fast, stretches)
    assert repr(fast) == repr(slow)
    assert skimmed.liveness() == whole.liveness()


def test_what_the_fuzzing_of_journals_found(tmp_path: Path) -> None:
    """A loss with two points, and the answer to a topic whose name no file could hold."""
    run = RunDir(tmp_path)
    topic = "unit-01/chapter-01/topic-01"
    step = encode(Record(0, 1.0, Step(topic, "sft", 1, 2, 0.25, 1e-3, 1.0, 9, 9, 1.0, 1)))
    step = without_sums(step).replace(b"0.25", b"0.2.5")
    answer = Sample(topic, "before", topic, "", "an answer", 1, "eos", (), (), {})
    odd = without_sums(encode(Record(1, 1.0, replace(answer, topic="odd"))))
    odd = odd.replace(b'"topic": "odd"', b'"topic": "\\ud800"')
    run.journal.write_bytes(step + odd + encode(Record(2, 1.0, answer)))
    assert Feed(run).skim() == []
    assert Samples(run, topic).read() == ([answer], True)


@pytest.mark.parametrize("read", [Feed.read, Feed.skim])
def test_a_clock_that_was_set_back_does_not_hide_a_silence(tmp_path: Path, read: Callable[[Feed], object]) -> None:
    run = RunDir(tmp_path)
    lock = Lock(run)
    run.journal.write_bytes(encode(Record(0, 9000.0, Paused("me"))) + encode(Record(1, 5000.0, Resumed("me"))))
    feed = Feed(run, clock=lambda: 5100.0)
    read(feed)
    assert feed.liveness() == feeds.Liveness("silent", 100.0)
    assert fold(RunState(), Feed(run).read()).seq == 1
    lock.release()


def test_a_clock_that_is_set_back_while_an_engine_hangs_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, wall, steady = RunDir(tmp_path), 9000.0, 50.0
    lock = Lock(run)
    run.journal.write_bytes(encode(Record(0, 9000.0, Paused("me"))))
    monkeypatch.setattr(feeds.time, "monotonic", lambda: steady)
    feed = Feed(run, clock=lambda: wall)
    feed.read()
    assert feed.liveness() == feeds.Liveness("alive", 0.0)
    wall, steady = 5460.0, 110.0
    assert feed.liveness() == feeds.Liveness("silent", 60.0)
    lock.release()


def remade(run: RunDir, name: str) -> None:
    """The folder is removed, and made again under its name with another story in it."""
    shutil.rmtree(run.path)
    run.path.mkdir()
    run.journal.write_bytes(journal(name))


def test_a_journal_that_was_replaced_is_noticed(story: Story) -> None:
    run = story("finished")
    longer, shorter = Feed(run), Feed(run)
    for feed in (longer, shorter):
        while feed.skim():
            pass
    with open(run.journal, "ab") as file:
        file.write(b"x" * 20)
    JournalWriter(run.journal).close()  # an engine that goes on cuts a torn line off
    assert not longer.skim() and not longer.replaced
    shutil.rmtree(run.path)
    assert not longer.skim() and not longer.replaced, "its folder is gone, and what was read is still true"
    run.path.mkdir()
    run.journal.write_bytes(journal("collapsed") * 2)
    longer.skim()
    run.journal.write_bytes(journal("collapsed")[:200])
    shorter.skim()
    assert longer.replaced and shorter.replaced


def test_a_journal_that_is_written_bit_by_bit_is_not_replaced(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    feed = Feed(run)
    for byte in journal("happy")[:600]:
        with open(run.journal, "ab") as file:
            file.write(bytes([byte]))
        feed.read()
    assert not feed.replaced


async def test_a_run_that_was_made_again_is_shown_from_its_beginning(console: Open) -> None:
    app = console("finished")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.drained and app.state.finished is not None)
        assert app.run_dir is not None
        remade(app.run_dir, "happy")
        await until(pilot, lambda: app.drained and len(app.state.topics) == 6)
        assert app.state.finished is None and "happy" in shown(app, "head")


async def test_the_list_of_runs_notices_it_too(console: Open, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "AGAIN", 0.1)
    run, app = story("finished"), console("")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "3/3 passed" in shown(app, "body"))
        remade(run, "happy")
        await until(pilot, lambda: "2/6 passed" in shown(app, "body"))
