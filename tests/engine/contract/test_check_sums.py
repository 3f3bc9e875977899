"""The check sum of a journal line: damage is seen, and lines of older engines are read."""

import pytest
from check_sums import without_sums

from engine.contract.journal import events as e
from engine.contract.journal.codec import SUM_SIZE, decode, encode, preview, with_sum
from engine.contract.journal.events import Record, Unknown


def a_step(step: int = 1) -> e.Step:
    return e.Step("unit-01/chapter-01/topic-01", "sft", step, 12, 2.5, 1e-3, 0.7, 80, 40, 2.25, 1 << 31)


@pytest.mark.parametrize("spelt", ["by msgspec", "by json"])
def test_each_flipped_bit_of_a_line_is_seen_or_changes_nothing(spelt: str) -> None:
    record = Record(7, 5.5, a_step() if spelt == "by msgspec" else e.Preparing("\ud800"))
    whole = encode(record)[:-1]
    seen = 0
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        found = decode(bytes(flipped))
        if found == record:  # the name of the check sum's own field was hit
            assert place // 8 >= len(whole) - SUM_SIZE
            continue
        assert isinstance(found.event, Unknown) and found.event.damaged and found.seq == -1
        assert preview(bytes(flipped)) is None
        seen += 1
    assert seen >= 8 * (len(whole) - SUM_SIZE)


def test_lines_spliced_by_a_lost_block_are_seen() -> None:
    one, two = (encode(Record(n, 5.5, a_step(n)))[:-1] for n in (3, 9))
    for cut in range(1, len(one) - SUM_SIZE):
        mixed = one[:cut] + two[cut:]
        assert mixed in (one, two) or isinstance(decode(mixed).event, Unknown), cut


def test_a_line_without_a_check_sum_is_that_of_an_older_engine() -> None:
    record = Record(7, 5.5, a_step())
    old = without_sums(encode(record))[:-1]
    assert b"xxh3" not in old and decode(old) == record == decode(with_sum(old))
    seen = preview(old)
    assert seen is not None and seen.seq == 7
