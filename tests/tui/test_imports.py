"""The console starts without anything that trains."""

import subprocess
import sys

CODE = """
import sys
import mindprint_tui.app, mindprint_tui.screens.runs, mindprint_tui.screens.samples, mindprint_tui.screens.help
heavy = {"mlx", "mlx_lm", "transformers", "datasets", "torch", "numpy", "yaml"} & set(sys.modules)
engine = [name for name in sys.modules if name.startswith("engine.") and not name.startswith("engine.contract")]
print(sorted(heavy), engine)
"""


def test_no_heavy_imports() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_state_and_view_know_no_textual() -> None:
    code = """
import sys, pkgutil, importlib, mindprint_tui.view as view, mindprint_tui.state, mindprint_tui.feed, mindprint_tui.keys
for module in pkgutil.iter_modules(view.__path__):
    importlib.import_module(f"mindprint_tui.view.{module.name}")
print("textual" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
