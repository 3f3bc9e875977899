"""Runs the command line: errors become one sentence on stderr, and closed streams are opened"""

import io
import os
import sys
from contextlib import suppress

import click

from engine.contract.errors import InputError
from mindprint_tui.cli.commands import cli
from mindprint_tui.journal.sanitize import clean


def main() -> None:
    """Entry point of the console script.

    Prints a user error or an operating system error as one sentence on stderr and exits with status 2.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr, sys.stdin):  # a locale that is not UTF-8 cannot encode ✓ or an emoji
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(cli(standalone_mode=False))
    except InputError as error:
        _complain(f"mindprint-tui: {clean(str(error))}")
    except click.ClickException as error:
        words = io.StringIO()
        error.show(words)
        _complain(clean(words.getvalue()).removesuffix("\n"))
    except click.Abort:
        sys.exit(130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        if not isinstance(error, BrokenPipeError):  # the reader closed the pipe, as `head` does: no error
            _complain(f"mindprint-tui: {clean(f'{where}{error.strerror or error}')}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # buffered output would fail again at exit
    sys.exit(2)


def _complain(words: str) -> None:
    """Prints words on stderr, which may be on a full disk, too."""
    with suppress(OSError):
        click.echo(words, err=True)


def _open_closed_streams() -> None:
    """Opens the null device for each standard stream that the shell has closed (`>&-`).

    Python has None for such a stream, and the next file that is opened would get its number.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)
    names = ("stdin", "r"), ("stdout", "w"), ("stderr", "w")
    for descriptor, (name, mode) in enumerate(names):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - open until the end
