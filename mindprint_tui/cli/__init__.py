"""The command line of `mindprint-tui`."""

from mindprint_tui.cli.commands import cli
from mindprint_tui.cli.entry import main

__all__ = ["cli", "main"]
