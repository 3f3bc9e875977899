"""Which configurations can be trained from a folder: its own, and those that came with the program."""

from pathlib import Path

import pytest

from mindprint_tui.process import run_folder
from mindprint_tui.process.run_folder import find_config, list_configs, shipped_configs

SHIPPED = ["demo.yaml", "mac-studio.yaml", "quick.yaml"]


def test_another_folder_than_the_clone_has_the_shipped_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in list_configs()] == SHIPPED
    for path in list_configs():
        assert path.is_file() and path == find_config(Path("configs", path.name)) == find_config(Path(path.name))


def test_own_files_come_first_and_hide_shipped_ones_of_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    for name in ("configs/mine.yaml", "configs/demo.yaml", "here.yaml", "notes.txt"):
        Path(name).touch()
    own = [Path("configs/demo.yaml"), Path("configs/mine.yaml"), Path("here.yaml")]
    shipped = [shipped_configs() / name for name in ("mac-studio.yaml", "quick.yaml")]
    assert list_configs() == own + shipped
    assert find_config(Path("configs/demo.yaml")) == Path("configs/demo.yaml")


def test_a_wheel_has_its_configurations_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "mindprint_tui"
    (package / "configs").mkdir(parents=True)
    (package / "configs" / "demo.yaml").touch()
    monkeypatch.setattr(run_folder, "__file__", str(package / "process" / "run_folder.py"))
    monkeypatch.chdir(tmp_path)
    assert list_configs() == [package / "configs" / "demo.yaml"] == [find_config(Path("configs/demo.yaml"))]
