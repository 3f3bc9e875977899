"""The short form of the soak: a handful of SIGKILLs, one of each kind of moment; `make soak` has the long one."""

import random

from soak import soak, tiny_settings


def test_a_run_that_is_killed_at_bad_moments_comes_out_the_same(tmp_path):
    moments = ("checkpoint", "commit", "evaluation", "random", "validation", "keeping")
    hits = soak(tiny_settings(tmp_path), tmp_path, len(moments), random.Random(0), 1, moments)
    assert hits.total() == len(moments)
