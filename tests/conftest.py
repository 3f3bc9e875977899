"""Gives MLX its fast BLAS before any test imports it, and counts the broken engines when all have run."""

import signal

from engine.model.backend import prepare

prepare()
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background, which the children would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
