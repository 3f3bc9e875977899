"""How a child of this program is started, so that it imports nothing from the working directory.

A folder that came from a stranger may hold an `engine/__init__.py`, a `random.py` or a `yaml.py`. `python -m` puts the
working directory first on `sys.path`; `-P` keeps it out, and PYTHONSAFEPATH does so for the child's own children.
"""

import os
import sys

PYTHON = (sys.executable, "-P")


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this environment with `arguments`."""
    return [*PYTHON, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """This process's environment, for a child that imports nothing from the working directory and speaks UTF-8.

    PYTHONPATH keeps the folders that a person named; an empty entry, as `PYTHONPATH=$PYTHONPATH:lib` leaves it, would
    be the working directory.
    """
    found = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}
    folders = [folder for folder in found.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    return found | ({"PYTHONPATH": os.pathsep.join(folders)} if folders else {})
