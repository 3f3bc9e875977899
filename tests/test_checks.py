"""`make check` holds, and the contract needs nothing that a reader of a run would have to install."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
CHECKS = re.findall(r"^\t\$\(VENV\)/bin/(.+)$", RECIPE, re.MULTILINE)
KNOWN = sys.stdlib_module_names | {"yaml"}


@pytest.mark.parametrize("command", CHECKS)
def test_make_check_finds_nothing(command: str) -> None:
    program, *arguments = command.split()
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_check_is_the_formatter_the_linter_the_types_and_the_imports() -> None:
    assert CHECKS == ["ruff format --check .", "ruff check .", "mypy", "lint-imports"]


def imported(file: Path) -> Iterator[str]:
    """What a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if not node.level else "." * node.level


@pytest.mark.parametrize("file", sorted((ROOT / "engine" / "contract").glob("*.py")), ids=lambda file: file.stem)
def test_the_contract_imports_the_standard_library_yaml_and_itself(file: Path) -> None:
    others = [name for name in imported(file) if name.partition(".")[0] not in KNOWN]
    assert [name for name in others if not f"{name}.".startswith("engine.contract.")] == []
