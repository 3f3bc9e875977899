"""Gives MLX its fast BLAS before any test imports it, lets children hear signals, and counts the broken engines."""

import os

from signals import restore

from engine.model.backend import prepare

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # on tiny models a second thread only spins: three times the CPU time
prepare()
restore()


def pytest_terminal_summary(terminalreporter):
    """`broken engines: …`, from the tests that passed; tests say what they showed by record_property."""
    shown = [item for report in terminalreporter.getreports("passed") for item in report.user_properties]
    caught, whole = ([name for key, name in shown if key == word] for word in ("caught", "whole"))
    if caught or whole:
        from engine.rules.enforce import RULES

        terminalreporter.write_line(
            f"broken engines: {len(RULES)} rules, {len(set(caught))} caught ({len(caught)} broken engines), "
            f"{len(set(whole))} pass when whole"
        )
