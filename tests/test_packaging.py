"""What pyproject.toml puts into a wheel is what lies here."""

import importlib.util
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
FOLDERS = {name: SETTINGS["package-dir"].get(name, name.replace(".", "/")) for name in SETTINGS["packages"]}
TOPS = ("engine", "mindprint_tui", "configs")


def files(suffixes: tuple[str, ...]) -> list[Path]:
    """Every file of the program that has one of these suffixes."""
    found = (file for top in TOPS for file in (ROOT / top).rglob("*") if file.is_file())
    return [file.relative_to(ROOT) for file in found if file.suffix in suffixes]


def test_every_package_is_in_the_wheel() -> None:
    assert {file.parent.as_posix() for file in files((".py",))} | {"configs"} == set(FOLDERS.values())


def test_everything_that_is_no_python_is_in_the_wheel() -> None:
    data = SETTINGS["package-data"]
    patterns = {f"{FOLDERS[name]}/{pattern}" for name, each in data.items() for pattern in each}
    others = {file.suffix for top in TOPS for file in (ROOT / top).rglob("*.*")} - {".py", ".pyc"}
    for file in files(tuple(others)):
        assert any(fnmatch(file.as_posix(), pattern) for pattern in patterns), file


def test_the_tree_in_the_docs_is_the_tree_that_is_here() -> None:
    spec = importlib.util.spec_from_file_location("tree", ROOT / "docs" / "tree.py")
    assert spec is not None and spec.loader is not None
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    written = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert written == tree.page(written), "run `make docs`"
