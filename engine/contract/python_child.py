"""Command and environment for child processes that import nothing from the working directory.

An untrusted folder may hold an `engine/__init__.py`, a `random.py` or a `yaml.py`. `python -m` puts the working
directory first on `sys.path`. `-P` keeps it out; PYTHONSAFEPATH does the same for the child's own children.
"""

import os
import sys

PYTHON = (sys.executable, "-P")


def python(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module of this environment with `arguments`."""
    return [*PYTHON, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Returns an environment in which a child imports nothing from the working directory and uses UTF-8.

    PYTHONPATH keeps the folders that a person named. Its empty entries are removed, because they mean the working
    directory; `PYTHONPATH=$PYTHONPATH:lib` leaves one.
    """
    found = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}
    folders = [folder for folder in found.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    return found | ({"PYTHONPATH": os.pathsep.join(folders)} if folders else {})
