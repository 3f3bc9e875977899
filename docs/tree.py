"""Writes the tree of docs/ARCHITECTURE.md, one line per file: `make docs`.

The text of a line is the first sentence of the module's docstring.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "ARCHITECTURE.md"
HEAD, TAIL = "<!-- tree: made by `make docs` from the first sentence of each module -->\n", "<!-- end of tree -->\n"
WIDTH = 30  # column at which a file's sentence starts


def sentence(file: Path) -> str:
    """Returns the first sentence of a module's docstring, without its full stop."""
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=[^.])\.(?= |$)", text, maxsplit=1)[0]


def lines(folder: Path, indent: str = "") -> list[str]:
    """Returns the lines of a package: itself, its modules, then its subpackages."""
    found = [f"{indent}{folder.name}/".ljust(WIDTH) + sentence(folder / "__init__.py")]
    inner = indent + "  "
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            found.append(
                f"{inner}{file.name}".ljust(WIDTH) + " " * (len(inner) + len(file.name) >= WIDTH) + sentence(file)
            )
    for child in sorted(child for child in folder.iterdir() if (child / "__init__.py").exists()):
        found += lines(child, inner)
    return found


def page(text: str) -> str:
    """Returns the text of docs/ARCHITECTURE.md with the current tree."""
    before, rest = text.split(HEAD)
    tree = "\n".join([*lines(ROOT / "engine"), "", *lines(ROOT / "mindprint_tui")])
    return f"{before}{HEAD}```text\n{tree}\n```\n{TAIL}{rest.split(TAIL)[1]}"


if __name__ == "__main__":
    FILE.write_text(page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
