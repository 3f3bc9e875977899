"""docs/DATA.md and docs/VOICE.md: every example in them is read, as the row that the page says it is."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from engine.contract.settings.load import load_config
from engine.data.forms.pairs import pair_row
from engine.data.forms.rows import question_row, sft_row
from engine.data.sources.text_files import parse
from engine.data.voice_profile import load_profile

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "DATA.md").read_text(encoding="utf-8")
READERS = {"Data": sft_row, "Rows to train on": sft_row, "Pairs": pair_row, "Questions": question_row}
ROWS = [
    (title, line.strip())
    for title, text in re.findall(r"^##? (.+?)\n(.*?)(?=^##? |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for line in text.splitlines()
    if line.startswith('    {"')
]


def test_the_page_has_an_example_of_each_kind() -> None:
    assert len(ROWS) >= 20 and {title for title, _ in ROWS} == set(READERS)


@pytest.mark.parametrize(("title", "line"), ROWS)
def test_an_example_is_a_row_whose_every_field_is_read(title: str, line: str) -> None:
    unread = Counter[str]()
    row = READERS[title]("DATA.md:1", parse(line.encode()), unread)
    assert not unread and row.where == "DATA.md:1"


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    found = load_config(tmp_path / "mine.yaml").curriculum
    assert [source.path for source in found.sft] == [f"{tmp_path}/data/train.parquet", f"{tmp_path}/more.csv"]
    assert found.preferences.columns == {"prompt": "question", "chosen": "best", "rejected": "worst"}


def test_the_voice_on_its_page_is_one_and_is_not_the_keepers(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "VOICE.md").read_text(encoding="utf-8"), re.M | re.S)
    (tmp_path / "voice.yaml").write_text(text, encoding="utf-8")
    found = load_profile(tmp_path / "voice.yaml")
    assert found.name == "Ida" == yaml.safe_load(text)["name"] and len(found.groups) == 2
    assert any(pattern.search("I reckon it rains") for group in found.groups for pattern in group.patterns)
    assert found.distinctions[0].patterns[0].search("I love lawns")
