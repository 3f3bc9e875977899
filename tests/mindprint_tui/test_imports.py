"""The console starts without anything that trains, whichever way it is entered."""

import subprocess
import sys
from pathlib import Path

import pytest

from mindprint_tui.cli import cli

HEAVY = {"mlx", "mlx_lm", "transformers", "datasets", "torch", "numpy"}
REPORT = f"""
engine = [name for name in sys.modules if name.startswith("engine.") and not name.startswith("engine.contract")]
print("loaded", sorted({HEAVY!r} & set(sys.modules)), engine)
"""
EVERYTHING = """
import sys, importlib, pkgutil, mindprint_tui
for module in pkgutil.walk_packages(mindprint_tui.__path__, "mindprint_tui."):
    importlib.import_module(module.name)
"""
COMMAND = """
import sys
from mindprint_tui.cli import main
try:
    main()
except SystemExit:
    pass
"""
SCREENS = """
import asyncio, sys
from pathlib import Path
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.tui.app import MindprintApp
async def main():
    async with MindprintApp(RunDir(Path("logs/gone")), Path("logs")).run_test() as pilot:
        for key in ("question_mark", "escape", "R", "escape", "ctrl+p", "escape", "q"):
            await pilot.press(key)
asyncio.run(main())
"""
ENTRIES = [
    *([name, "--help"] for name in sorted(cli.commands)),
    ["--version"],
    ["runs"],
    ["attach", "gone"],
    ["ctl", "gone", "pause"],
    ["--no-ui", "gone.yaml"],
]


def loaded(code: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code + REPORT, *arguments], capture_output=True, text=True, cwd=folder)
    assert done.stdout, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", ENTRIES, ids=" ".join)
def test_no_command_loads_what_trains(tmp_path: Path, arguments: list[str]) -> None:
    assert loaded(COMMAND, tmp_path, *arguments) == "loaded [] []"


@pytest.mark.parametrize("code", [EVERYTHING, SCREENS], ids=["every module", "every screen"])
def test_nothing_of_the_console_loads_what_trains(tmp_path: Path, code: str) -> None:
    assert loaded(code, tmp_path) == "loaded [] []"


def test_state_and_view_know_no_textual() -> None:
    code = """
import sys, pkgutil, importlib, mindprint_tui.view as view, mindprint_tui.journal.feed, mindprint_tui.keys
for module in pkgutil.walk_packages(view.__path__, "mindprint_tui.view."):
    importlib.import_module(module.name)
print("textual" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
