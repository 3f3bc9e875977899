"""A path is a path, also with *, ?, [ and :: in it: no other file is read in its place."""

from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.contract.settings.config import SourceConfig
from engine.data.sources.read import read_file, read_source


def csv(path: Path, word: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"prompt,completion\nq,{word}\n")
    return path


@pytest.mark.parametrize("name", ["rows[1].csv", "rows*.csv", "rows?.csv", "**.csv", "[!a].csv", "rows[.csv"])
def test_only_the_named_file_is_read(tmp_path: Path, name: str) -> None:
    for other in ("rows1.csv", "rows2.csv", "a.csv", "b.csv"):
        csv(tmp_path / other, other)
    path = csv(tmp_path / name, "mine")
    assert [row["completion"] for _, row in read_file(path)] == ["mine"]
    assert [row["completion"] for _, row in read_source(SourceConfig(str(path)))] == ["mine"]


@pytest.mark.parametrize("folder", ["course [1]", "course*", "co?rse", "[ab]"])
def test_a_folder_is_the_named_one(tmp_path: Path, folder: str) -> None:
    for other in ("course 1", "course1", "coarse", "a"):
        csv(tmp_path / other / "rows.csv", other)
    path = csv(tmp_path / folder / "rows.csv", "mine")
    assert [row["completion"] for _, row in read_file(path)] == ["mine"]


def test_a_missing_file_with_glob_characters_is_missing(tmp_path: Path) -> None:
    csv(tmp_path / "rows1.csv", "other")
    with pytest.raises(InputError, match=r"rows\[1\]\.csv: no such file"):
        list(read_file(tmp_path / "rows[1].csv"))


def test_a_name_that_is_a_chain_of_locations_to_the_library_is_a_name(tmp_path: Path) -> None:
    path = csv(tmp_path / "zip::rows.csv", "mine")
    csv(tmp_path / "rows.csv", "other")
    assert [row["completion"] for _, row in read_file(path)] == ["mine"]


@pytest.mark.parametrize("folder", ["rows [1]", "rows*", "a::b"])
def test_a_dataset_folder_with_such_a_name_is_refused(tmp_path: Path, folder: str) -> None:
    csv(tmp_path / "rows 1" / "train.csv", "other")
    csv(tmp_path / folder / "train.csv", "mine")
    with pytest.raises(InputError, match="rename the folder"):
        list(read_source(SourceConfig(str(tmp_path / folder))))


def test_files_in_a_dataset_folder_may_have_any_name(tmp_path: Path) -> None:
    csv(tmp_path / "rows" / "train[1].csv", "mine")
    assert [row["completion"] for _, row in read_source(SourceConfig(str(tmp_path / "rows")))] == ["mine"]


@pytest.mark.parametrize("pattern", ["../*.csv", "../secret.csv"])
def test_the_card_of_a_dataset_folder_reads_no_file_outside(tmp_path: Path, pattern: str) -> None:
    csv(tmp_path / "secret.csv", "secret")
    csv(tmp_path / "rows" / "train.csv", "mine")
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: '{pattern}'\n---\n"
    (tmp_path / "rows" / "README.md").write_text(card)
    with pytest.raises(InputError, match="outside"):
        list(read_source(SourceConfig(str(tmp_path / "rows"))))
