"""The command group: a configuration alone means the command `run`, and an unknown word gets a suggestion"""

import difflib
import re
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from engine.contract.errors import InputError
from mindprint_tui import completion
from mindprint_tui.process import run_folder

WORD = re.compile(r"[A-Za-z][A-Za-z_-]*")  # looks like a command, not like a file name


class RunByDefault(click.Group):
    """Click group with `run` as the default command: `mindprint-tui CONFIG` means `mindprint-tui run CONFIG`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        word = args[0] if args and WORD.fullmatch(args[0]) else ""
        if word == "help":
            args = [*args[1:2], "--help"]
        elif word and word not in self.commands and not run_folder.find_config(Path(word)).exists():
            self._refuse(ctx, word)
        if not args and ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h", "--version")):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completes commands, and configurations as the first argument of the default command `run`."""
        items = [*super().shell_complete(ctx, incomplete), *completion.configurations(ctx, None, incomplete)]
        return [item for item in items if item.type == "plain"] or items

    def _refuse(self, ctx: click.Context, word: str) -> None:
        """Raises InputError for a word that is neither a command nor a file.

        Does nothing during shell completion, when the word may still be incomplete.
        """
        if ctx.resilient_parsing:
            return
        if near := difflib.get_close_matches(word, self.commands):
            meant = " or ".join(map(repr, near))
            raise InputError(f"{word}: no such command, and no such configuration file; did you mean {meant}?")
        raise InputError(
            f"{word}: no such command. The commands are {', '.join(sorted(self.commands))}; to train, name a "
            "configuration file, for example configs/quick.yaml"
        )
