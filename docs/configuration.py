"""Writes docs/CONFIGURATION.md from engine/contract/settings/config.py: `python docs/configuration.py`."""

import dataclasses
import inspect
import math
import re
import typing
from pathlib import Path
from typing import Any

from engine.contract.settings import config
from engine.contract.settings.judge import JudgeConfig
from engine.contract.settings.notify import NotifyConfig

FILE = Path(__file__).parent / "CONFIGURATION.md"
HEAD = """# Configuration

Every key, with what it may be and what it is if you leave it out. `make docs` writes this page from
`engine/contract/settings/config.py`. `--set section.key=VALUE` overrides a key of the file. The run's own `config.yaml`
has the effective value of each. `mindprint-tui check FILE` says what a configuration amounts to before anything is
trained.
"""
SHARING = (config.SftConfig, config.FoundationConfig, config.DpoConfig)
KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def page() -> str:
    """Returns the whole page, section by section."""
    parts = [HEAD]
    for field in dataclasses.fields(config.RunConfig):
        section = typing.get_type_hints(config.RunConfig)[field.name]
        parts.append(f"## {field.name}\n\n{inspect.getdoc(section)}\n\n{_table(section)}")
    source = inspect.getdoc(config.SourceConfig)
    parts.append(f"## curriculum.sft, .preferences and .quiz\n\n{source}\n\n{_table(config.SourceConfig)}")
    parts.append(f"## run.notify\n\n{inspect.getdoc(NotifyConfig)}\n\n{_table(NotifyConfig)}")
    parts.append(f"## evaluation.judge\n\n{inspect.getdoc(JudgeConfig)}\n\n{_table(JudgeConfig)}")
    return "\n".join(parts)


def _table(section: type) -> str:
    hints, meanings = typing.get_type_hints(section), _meanings(section)
    rows = ["| key | may be | left out | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(section):
        cells = (f"`{field.name}`", _allowed(hints[field.name], field), _default(field), meanings[field.name])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _meanings(section: type) -> dict[str, str]:
    """Returns the comment after each field in the source. A key without one takes that of SupervisedConfig.

    Raises SystemExit if a field has no comment.
    """
    found = dict(_meanings(config.SupervisedConfig)) if section in SHARING else {}
    found |= dict(re.findall(r"^    (\w+): [^#\n]*  # (.+)$", inspect.getsource(section), re.MULTILINE))
    if missing := [field.name for field in dataclasses.fields(section) if field.name not in found]:
        raise SystemExit(f"{section.__name__}: nothing says what {', '.join(missing)} means")
    return found


def _allowed(hint: Any, field: "dataclasses.Field[Any]") -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin is tuple:
        return f"list of {_allowed(args[0], field)}"
    if origin is dict or hint in (NotifyConfig, JudgeConfig):
        return "mapping"
    if config.SourceConfig in args:
        return "text, mapping, or a list of them"
    low, high = (field.metadata.get(bound) for bound in ("low", "high"))
    if low is None or high is None:
        return KINDS[hint]
    return f"{KINDS[hint]}, " + (f"{low:,} to {high:,}" if high < math.inf else f"at least {low:,}")


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is dataclasses.MISSING:
        return "must be there" if field.default_factory is dataclasses.MISSING else "empty"
    value = field.default
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "empty"
    return f"`{value}`" if value != "" else "empty"


if __name__ == "__main__":
    FILE.write_text(page())
