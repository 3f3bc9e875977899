"""The short form of the attack on a run's folder: every nineteenth of its faults; `make soak` does them all."""

from attack import attack


def test_a_damaged_run_comes_to_the_same_bytes_or_is_refused(tmp_path):
    verdicts = attack(tmp_path, every=19, show=lambda verdict: None)
    assert len({each.fault for each in verdicts}) > 25
    assert [str(each) for each in verdicts if not each.good] == []
