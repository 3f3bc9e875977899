"""The journal: what goes in comes out, and nothing that stands in the file can make a reader fall over."""

import json
import math
import os
import random
import string
import typing
from pathlib import Path
from typing import Any

import pytest
from check_sums import without_sums
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract.errors import Unwritable
from engine.contract.journal import events as e
from engine.contract.journal.codec import _decode_text, decode, encode
from engine.contract.journal.events import KINDS, Record, Unknown
from engine.contract.journal.log_lines import line
from engine.contract.journal.store import JournalWriter, Tail, read_journal, repair

TOPIC = "unit-01/chapter-01/topic-01"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def of(hint: Any) -> st.SearchStrategy[Any]:
    if hint is Any:
        return JSON
    if typing.get_origin(hint) is dict:
        return st.dictionaries(st.text(max_size=5), of(typing.get_args(hint)[1]), max_size=2)
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[-1] is not Ellipsis:
        return st.tuples(*map(of, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return st.lists(of(typing.get_args(hint)[0]), max_size=2).map(tuple)
    if hint is int:
        return st.integers(-(10**16), 10**16)
    if hint == int | None:
        return st.none() | of(int)
    return built(hint) if hint is e.TopicInfo else st.from_type(hint)


def built(cls: type) -> st.SearchStrategy[Any]:
    return st.builds(cls, **{name: of(hint) for name, hint in typing.get_type_hints(cls).items() if name != "kind"})


def a_step(**changes: Any) -> e.Step:
    plain: dict[str, Any] = dict(topic=TOPIC, phase="sft", step=1, of=12, loss=2.5, lr=1e-3, grad_norm=0.7, tokens=80)
    plain |= dict(supervised_tokens=40, seconds=2.25, peak_bytes=1 << 31)
    return e.Step(**(plain | changes))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seq=st.integers(0, 2**40), t=st.floats(0, 4e9))
def test_every_kind_reads_back_as_it_was_written(kind: str, data: st.DataObject, seq: int, t: float) -> None:
    record = Record(seq, round(t, 3), data.draw(built(KINDS[kind])))
    written = encode(record)
    assert written.count(b"\n") == 1 and written.endswith(b"\n")
    again = decode(written[:-1])
    assert type(again.event) is KINDS[kind]
    assert encode(again) == written  # bytes, since a NaN is not equal to itself
    if "nan" not in repr(record):
        assert again == record
    json.loads(written, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_the_kinds_are_those_that_readers_rely_on() -> None:
    names = (
        "run_started model_loaded curriculum_loaded topic_started phase_started adapter step sample evaluated decided "
        "topic_finished command_taken paused resumed checkpointed restored warned failed engine_died engine_restarted "
        "run_finished"
    )
    assert set(names.split()) <= set(KINDS)


def test_a_line_has_the_head_that_others_rely_on() -> None:
    data = json.loads(encode(Record(7, 1767000000.12345, e.Paused("ann@tty1"))))
    assert len(data.pop("xxh3")) == 16
    assert data == {"v": 1, "seq": 7, "t": 1767000000.123, "kind": "paused", "by": "ann@tty1"}


def test_a_line_reads_alike_in_every_spelling_of_its_json() -> None:
    for step in (
        a_step(),
        a_step(phase="dpo", loss=-0.0, lr=1e-300, margin=0.5, preference_accuracy=1.0),
        a_step(loss=7e22, lr=math.inf),
    ):
        data = json.loads(without_sums(encode(Record(3, 12.5, step))))
        spellings = [json.dumps(data), json.dumps(data, separators=(",", ":")), json.dumps(data, indent=1)]
        spellings += [json.dumps(dict(reversed(data.items()))), json.dumps(data | {"note": "x"})]
        assert {decode(spelling) for spelling in spellings} == {Record(3, 12.5, step)}
        assert {decode(spelling.encode()) for spelling in spellings} == {Record(3, 12.5, step)}


def test_new_lines_are_spelt_as_the_old_ones_so_that_a_grep_finds_both() -> None:
    written = encode(Record(7, 1767000000.0, a_step()))
    assert written.startswith(b'{"v": 1, "seq": 7, "t": 1767000000.0, "kind": "step", "topic": "unit-01/chapter-01/')
    assert list(json.loads(written))[4:] == [*e.Step.__struct_fields__, "xxh3"]


def test_a_line_without_a_time_has_that_of_the_line_before() -> None:
    for damaged in (b"not JSON", b"[]", b'{"seq": 4, "t": "soon", "kind": "paused", "by": "ann"}', b'{"seq": 4}'):
        assert decode(damaged, 12.5).t == 12.5
        assert decode(damaged).t == 0.0


def test_damage_is_told_from_a_kind_of_a_newer_engine() -> None:
    newer = decode(b'{"v": 2, "seq": 4, "t": 1.0, "kind": "dreamed", "of": "sheep"}').event
    assert isinstance(newer, Unknown) and not newer.damaged
    for line_ in (b"x", b'{"seq": 4, "t": 1.0, "kind": "paused"}', b'{"seq": 4, "t": 1.0}', b'{"kind": "dreamed"}'):
        found = decode(line_).event
        assert isinstance(found, Unknown) and found.damaged, line_


def test_what_is_said_of_a_damaged_line_is_short() -> None:
    endless = json.dumps({"seq": 4, "t": 1.0, "kind": "step", **dict.fromkeys(("topic", "phase"), "x" * 10**6)})
    found = decode(endless).event
    assert isinstance(found, Unknown) and found.damaged and len(found.problem) <= 200


def test_numbers_that_are_not_finite_are_kept() -> None:
    step = decode(encode(Record(1, 1.0, a_step(loss=math.nan, grad_norm=math.inf, margin=-math.inf)))).event
    assert isinstance(step, e.Step)
    assert math.isnan(step.loss) and step.grad_norm == math.inf and step.margin == -math.inf
    scored = e.Evaluated(TOPIC, "dpo", 0.5, 0.5, 0.5, {"x": math.nan}, 0.5, "ok", 1.0, heldout_margin=math.nan)
    found = decode(encode(Record(1, 1.0, scored))).event
    assert isinstance(found, e.Evaluated) and found.heldout_margin is not None
    assert math.isnan(found.heldout_margin) and math.isnan(found.components["x"])


def test_text_stays_text() -> None:
    for text in ("nan", "-inf", "a\nb\r\u2028\x1b]52;\x00", "\ud800", "Åse’s ⏎"):
        assert decode(encode(Record(1, 1.0, e.Preparing(text)))[:-1]).event == e.Preparing(text)


@pytest.mark.parametrize(
    ("written", "seq", "name"),
    [
        (b'{"v": 2, "seq": 4, "t": 1.0, "kind": "dreamed", "of": "sheep"}', 4, "dreamed"),
        (b'{"seq": 4, "kind": ["step"]}', 4, ""),
        (b'{"seq": 4}', 4, ""),
        (b'{"seq": 4, "t": 1.0, "kind": "paused"}', 4, "paused"),
        (b'{"seq": 4, "t": 1.0, "kind": "paused", "by": 3}', 4, "paused"),
        (b'{"seq": "4", "kind": "paused"}', -1, "paused"),
        (b'{"seq": true, "kind": "dreamed"}', -1, "dreamed"),
        (b'{"seq": 4, "kind": "engine_died", "status": ' + b"9" * 5000 + b"}", -1, ""),
        (b'{"seq": 4, "kind": "preparing", "message": ' + b"[" * 100_000, -1, ""),
        (b"[]", -1, ""),
        (b"", -1, ""),
        (b"\xff\xfe\x00", -1, ""),
        (b"\x00\x00\x00{", -1, ""),
    ],
)
def test_what_cannot_be_read_is_unknown(written: bytes, seq: int, name: str) -> None:
    record = decode(written)
    assert isinstance(record.event, Unknown)
    assert (record.seq, record.event.name) == (seq, name)
    assert record.event.problem


def test_a_number_beyond_all_bounds_is_unknown_too() -> None:
    written = without_sums(encode(Record(4, 1.0, e.TopicFinished(TOPIC, "passed", "well", 3.0))))
    step = without_sums(encode(Record(4, 1.0, a_step())))
    for huge in (b"9" * 20, b"9" * 400, b"-" + b"9" * 400):
        assert isinstance(decode(written.replace(b"3.0", huge)).event, Unknown)
        assert isinstance(decode(written.replace(b'"t": 1.0', b'"t": ' + huge)).event, Unknown)
        assert isinstance(decode(step.replace(b"2.5", huge)).event, Unknown)


def test_half_a_surrogate_pair_is_read_wherever_it_stands() -> None:
    for written in (encode(Record(4, 1.0, a_step())), encode(Record(4, 1.0, e.Paused("ann")))):
        data = json.loads(without_sums(written))
        for key in data:
            for value in ("\ud800", {"\ud800": "\ud800"}, ["\ud800"]):
                assert isinstance(decode(json.dumps(data | {key: value})).seq, int)
            assert isinstance(decode(json.dumps(data | {"\ud800": key})).event, type(decode(written[:-1]).event))


def test_nesting_just_short_of_the_limit_is_unknown_too() -> None:
    for depth in range(900, 1010):
        deep = "[" * depth + "]" * depth
        for form in ('{"seq": 1, "kind": %s}', '{"seq": 1, "kind": "preparing", "message": %s}'):
            assert isinstance(decode(form % deep).event, Unknown)


def test_unknown_fields_of_a_newer_engine_are_ignored() -> None:
    assert decode(b'{"v": 9, "seq": 1, "t": 2.0, "kind": "paused", "by": "ann", "mood": "calm"}').event == e.Paused(
        "ann"
    )


def examples() -> list[bytes]:
    rng = random.Random(7)
    topic = e.TopicInfo(TOPIC, "Trimming", 8, 6, 3)
    events: list[Any] = [
        a_step(),
        a_step(phase="dpo", margin=0.1, preference_accuracy=0.5, chosen_reward=0.1, rejected_reward=-0.1),
        a_step(loss=math.nan),
        e.CurriculumLoaded((topic, topic), ("one",)),
        e.RunStarted("r", "quick", 1, 2, {"mlx": "1"}, {"sft": {"rank": 8}}),
        e.Sample(
            TOPIC,
            "sft",
            "q",
            "r",
            "a\n⏎",
            3,
            "eos",
            ("aye",),
            ("no",),
            {"voice": 1.0, "concepts": None},
            "ok",
            {"no": "n⏎"},
        ),
        e.Evaluated(TOPIC, "sft", 0.5, 0.5, 0.5, {"x": 1.0}, None, "ok", 1.0),
        e.CommandTaken("id", "skip", "done", "why", TOPIC),
        e.EngineDied(None, "SIGKILL", 1),
    ]
    return [without_sums(encode(Record(rng.randrange(99), 1.5, event)))[:-1] for event in events]


def mutated(rng: random.Random, text: bytes, others: list[bytes]) -> bytes:
    where, until = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    other = rng.choice(others)
    piece = rng.choice(
        (b"", b'"', b"null", b"-1", b"1e999", b"{", b"[]", b"\x00", b"\xff", b"true", b"0", b"NaN", other[:until])
    )
    return rng.choice(
        (text[:where], text[where:], text[:where] + piece + text[until:], text[:where] + piece + text[where:])
    )


def test_four_thousand_damaged_lines_raise_nothing() -> None:
    rng, lines = random.Random(20), examples()
    unknown = 0
    for _ in range(4000):
        damaged = mutated(rng, rng.choice(lines), lines)
        record = decode(damaged)
        assert isinstance(record.seq, int) and math.isfinite(record.t)
        unknown += isinstance(record.event, Unknown)
        if damaged.isascii() and b"\x00" not in damaged:
            plain = decode(damaged.decode())
            assert repr(plain) == repr(record)
            assert repr(_decode_text(damaged, 0.0)) == repr(record)  # the slow way agrees with the fast one
    assert unknown > 2000


def test_replaced_values_raise_nothing() -> None:
    strange = [None, True, -1, 1e308, 10**400, "x", "nan", [], {}, [[1]], {"a": []}]
    read = 0
    for written in examples():
        data = json.loads(written)
        for key in data:
            for value in strange:
                record = decode(json.dumps(data | {key: value}))
                if not isinstance(record.event, Unknown):
                    assert encode(record).endswith(b"\n")
                    assert line(record) is None or "\n" not in line(record)
                    read += 1
    assert read > 100


def test_the_writer_numbers_without_gaps_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path, clock=lambda: 5.0)
    for i in range(20):
        assert writer.append(e.Preparing(f"{i}\n"), durable=i % 7 == 0).seq == i
    writer.close()
    again = JournalWriter(path)
    assert again.append(e.Paused("ann")).seq == 20
    again.close()
    assert [record.seq for record in read_journal(path)] == list(range(21))
    assert path.stat().st_mode & 0o077 == 0


def test_one_event_is_one_line_and_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path / "journal.jsonl")
    writes: list[bytes] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: writes.append(data) or real(descriptor, data))
    writer.append(e.Sample(TOPIC, "sft", "q", "r", "a\nb\nc", 3, "eos", (), (), {}))
    assert len(writes) == 1 and writes[0].count(b"\n") == 1
    assert (tmp_path / "journal.jsonl").read_bytes() == writes[0]


def test_a_line_that_was_half_written_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    writer.append(e.Paused("ann"))
    before, real = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    with pytest.raises(Unwritable, match=r"journal\.jsonl: the disk is full"):
        writer.append(e.Resumed("ann"))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert writer.append(e.Resumed("ann")).seq == 1


def test_the_tail_leaves_a_torn_line_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    tail = Tail(path)
    assert tail.read() == []
    path.write_bytes(b"one\ntw")
    assert tail.read() == [(0, b"one")]
    assert tail.read() == [] and tail.offset == 4
    with open(path, "ab") as file:
        file.write(b"o\n\nthree\n")
    assert tail.read() == [(4, b"two"), (8, b""), (9, b"three")]
    path.write_bytes(b"one\n")
    assert tail.read() == [] and tail.offset == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.integers(1, 12))
def test_the_tail_reads_every_line_once_whatever_the_chunk(
    tmp_path_factory: Any, lines: list[bytes], limit: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "f"
    path.write_bytes(b"".join(item + b"\n" for item in lines) + b"torn")
    tail, found = Tail(path), []
    while more := tail.read(limit):
        found += more
    assert [item for _, item in found] == lines
    assert tail.offset == path.stat().st_size - 4


def test_repair_cuts_a_torn_last_line_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert repair(path) == -1 and not path.exists()
    writer = JournalWriter(path)
    for name in string.ascii_lowercase[:3]:
        writer.append(e.Paused(name))
    writer.close()
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        path.write_bytes(whole[:-cut])
        assert repair(path) == 1
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])
    path.write_bytes(whole)
    assert repair(path) == 2 and path.read_bytes() == whole


def test_a_damaged_last_line_does_not_start_the_numbers_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    for _ in range(3):
        writer.append(e.Paused("ann"))
    writer.close()
    path.write_bytes(path.read_bytes() + b"\x00\x00 not JSON\n")
    assert JournalWriter(path).append(e.Resumed("ann")).seq == 3


def test_every_field_of_every_kind_is_written() -> None:
    for kind, cls in KINDS.items():
        assert "kind" not in set(cls.__struct_fields__)
        assert cls.kind == kind
        assert not {"v", "seq", "t"} & set(cls.__struct_fields__)
