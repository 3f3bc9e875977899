"""Ten thousand malformed commands and, of mutated journal lines, as many as are cheap; `make soak` has the rest."""

from fuzz import fuzz_commands, fuzz_journals


def test_ten_thousand_malformed_command_lines_are_answered_once_each(tmp_path):
    found = fuzz_commands(10_000, 0, tmp_path / "logs")
    assert found["lines"] == 10_000 and found["refused"] + found["done"] > 9_000


def test_mutated_journal_lines_crash_neither_console_nor_engine(tmp_path):
    found = fuzz_journals(1_000, 1, tmp_path / "logs")
    assert found["lines"] == 1_000 and found["screens"] >= 40
