"""One data set in files of every kind: the same rows, whatever wrote the file; faults of a file are named."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from curricula import VOICE, words

from engine.contract.errors import InputError
from engine.contract.settings.config import CurriculumConfig, SourceConfig
from engine.contract.settings.load import load_config
from engine.data.curriculum import Curriculum, load_curriculum

ODD = ("None", "null", "true", "1931", "NaN", 'He said "aye", twice', "two\nlines", "semi; colon", "tab\there", "Öl ☂")
ANSWERS = [answer if n < 5 else f"{answer} {words('a', n)}" for n, answer in enumerate((ODD * 2)[:16])]
ROWS = [
    {"topic": ("01", "1.10")[n % 2], "prompt": words("q", n), "completion": answer} for n, answer in enumerate(ANSWERS)
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "voice.yaml").write_text(VOICE, encoding="utf-8")


def lines(rows: list[dict[str, Any]] = ROWS) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(separator: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["topic", "prompt", "completion"], delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def zst(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


WRITERS: dict[str, Callable[[Path], Any]] = {
    "train.ndjson": lambda path: path.write_bytes(lines()),
    "array.jsonl": lambda path: path.write_bytes(json.dumps(ROWS).encode()),
    "utf16.jsonl": lambda path: path.write_bytes(lines().decode().encode("utf-16")),
    "utf16le.jsonl": lambda path: path.write_bytes(lines().decode().encode("utf-16-le")),
    "train.json": lambda path: path.write_bytes(json.dumps(ROWS, indent=1).encode()),
    "lines.json": lambda path: path.write_bytes(lines()),
    "train.csv": lambda path: path.write_bytes(table(",")),
    "bom.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + table(",")),
    "semicolon.csv": lambda path: path.write_bytes(table(";")),
    "tab.csv": lambda path: path.write_bytes(table("\t")),
    "train.tsv": lambda path: path.write_bytes(table("\t")),
    "train.parquet": lambda path: datasets.Dataset.from_list(ROWS).to_parquet(path),
    "train.jsonl.gz": lambda path: path.write_bytes(gzip.compress(lines())),
    "train.jsonl.zst": lambda path: path.write_bytes(zst(lines())),
    "train.csv.gz": lambda path: path.write_bytes(gzip.compress(table(","))),
    "train.json.zst": lambda path: path.write_bytes(zst(json.dumps(ROWS).encode())),
    "saved": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path),
    "saved-splits": lambda path: datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(path),
    "folder": lambda path: (path.mkdir(), (path / "train.jsonl").write_bytes(lines())),
    "folder-of-csv": lambda path: (path.mkdir(), (path / "train.csv").write_bytes(table(","))),
    "data[1]*?.csv": lambda path: path.write_bytes(table(",")),
}


def load(folder: Path, source: Any) -> Curriculum:
    return load_curriculum(CurriculumConfig(str(folder), sft=source, quiz_share=0.2), needs_pairs=False)


def refusal(folder: Path, source: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, source)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_any_kind_holds_the_same_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines())
    expected = load(tmp_path, str(tmp_path / "rows.jsonl"))
    assert expected.rows_used == len(ROWS) == 16 and [topic.title for topic in expected.topics] == ["01", "1.10"]
    WRITERS[name](tmp_path / name)
    for _ in ("with a cold cache", "with a warm cache"):
        assert load(tmp_path, str(tmp_path / name)).digests == expected.digests


def test_a_name_with_a_pattern_in_it_is_that_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "data1.csv").write_bytes(table(","))
    message = refusal(tmp_path, str(tmp_path / "data[1].csv"))
    assert message.startswith(f"{tmp_path}/data[1].csv: no such file; a pattern")
    (tmp_path / "data[1]").mkdir()
    assert "is not read; rename the folder" in refusal(tmp_path, str(tmp_path / "data[1]"))


@pytest.mark.parametrize("kind", ["json", "jsonl"])
@pytest.mark.parametrize("odd", [5, True, {"a": 1}, [1]])
def test_a_value_of_another_type_leaves_the_others_as_they_are(tmp_path: Path, kind: str, odd: Any) -> None:
    rows = [dict(row, topic="01") for row in ROWS]
    rows.insert(3, {"topic": "01", "prompt": "Odd?", "completion": odd})
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(json.dumps(rows).encode() if kind == "json" else lines(rows))
    place = f"{path} row 4" if kind == "json" else f"{path}:4"
    assert refusal(tmp_path, str(path)).startswith(f"{place}: completion")
    found = load_curriculum(CurriculumConfig(str(tmp_path), sft=str(path), quiz_share=0.2, bad_rows="report"), False)
    assert not any(row.answer.startswith('"') for row in found.topics[0].sft)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("rows.txt", b"Aye.\n", "rows.txt: a file of a kind that is not read; .jsonl, "),
        ("rows.xlsx", b"PK", "rows.xlsx: a file of a kind that is not read"),
        ("rows.json", b'{"data": [{"prompt": "P?"}], "version": 1}', "keys 'data', 'version'; write"),
        ("rows.json", b'{"prompt": ["P?"], "completion": ["C."]}', "found columns ('prompt', 'completion')"),
        ("rows.json", b'{"prompt": {"0": "P?"}, "completion": {"0": "C."}}', "pandas writes one with orient='records'"),
        ("rows.json", b'{"a": 1}', "found a mapping with the keys 'a', expected a list of rows"),
        ("rows.json", b"5", "found a number, expected a list of rows"),
        ("rows.json", b'[{"prompt": "P?"}', "the data cannot be read: not JSON"),
        ("rows.json", b'[{"prompt": "\xff"}]', "rows.json:1: the data cannot be read: not UTF-8"),
        ("rows.json", b"[5]", "rows.json row 1: found a number, expected an object"),
        ("rows.json", b'[{"id": 5, "url": "x"}]', "row 1: found the fields id, url; expected messages"),
        ("rows.csv", b"a,a\n1,2\n", "the column 'a' is there twice"),
        ("rows.csv", b"prompt,completion\nP?\n", "row 1: found 1 cells, and the header has 2"),
        ("rows.csv", b'prompt,completion\nP?,"C.\n', "row 1: the data cannot be read: unexpected end of data"),
        ("rows.csv", "prompt,completion\nP?,Öl\n".encode("latin-1"), "not UTF-8 (invalid"),
        ("rows.jsonl.gz", b"no gzip", "cannot be read (Not a gzipped file"),
        ("rows.jsonl.zst", b"no zstd", "cannot be read ("),
        ("rows.parquet", b"version https://git-lfs.github.com/spec/v1\n", "the data cannot be read"),
        ("rows.arrow", b"ARROW1 and nothing", "the data cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    message = refusal(tmp_path, str(tmp_path / name))
    assert words in message and message.startswith(str(tmp_path)) and "\n" not in message


@pytest.mark.parametrize("value", [float("nan"), None])
def test_nan_and_null_are_absent(tmp_path: Path, value: Any) -> None:
    rows = [{"topic": "01", "instruction": words("q", n), "input": value, "output": words("a", n)} for n in range(6)]
    for name in ("rows.jsonl", "rows.parquet"):
        path = tmp_path / name
        path.write_bytes(lines(rows)) if name.endswith("l") else datasets.Dataset.from_list(rows).to_parquet(path)
        assert load(tmp_path, str(path)).rows_used == 6
    assert "\n\n" not in load(tmp_path, str(tmp_path / "rows.jsonl")).topics[0].sft[0].messages[0].content


def test_topics_may_be_numbers_and_dates(tmp_path: Path) -> None:
    import datetime

    for topics, names in (
        ([7, 8], ["7", "8"]),
        ([1.5, 2.5], ["1.5", "2.5"]),
        ([datetime.date(2026, 1, 2), datetime.date(2026, 1, 3)], ["2026-01-02", "2026-01-03"]),
        ([datetime.datetime(2026, 1, 2, 3, 4), datetime.datetime(2026, 1, 3)], ["2026-01-02 03:04:00", "2026-01-03"]),
    ):
        rows = [{"topic": topics[n % 2], "prompt": words("q", n), "completion": words("a", n)} for n in range(8)]
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
        assert [topic.title for topic in load(tmp_path, str(tmp_path / "rows.parquet")).topics] == names


def test_several_files_are_one_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(ROWS[:8]))
    (tmp_path / "b.jsonl").write_bytes(lines(ROWS[8:]))
    (tmp_path / "c.jsonl").write_bytes(lines())
    (tmp_path / "run.yaml").write_text("curriculum:\n  path: .\n  quiz_share: 0.2\n  sft: [a.jsonl, {path: b.jsonl}]\n")
    settings = load_config(tmp_path / "run.yaml").curriculum
    assert settings.sft == (SourceConfig(f"{tmp_path}/a.jsonl"), SourceConfig(f"{tmp_path}/b.jsonl"))
    assert load_curriculum(settings, False).digests == load(tmp_path, str(tmp_path / "c.jsonl")).digests


def test_a_slice_and_a_sum_of_splits(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_bytes(lines(ROWS[:10]))
    (tmp_path / "data/test.jsonl").write_bytes(lines([{"q": 1, **row} for row in ROWS[10:]]))  # columns that differ
    for split, count in (("train", 10), ("train[:50%]+test", 11), ("train[2:8]", 6), ("train+test", 16)):
        assert load(tmp_path, SourceConfig(str(tmp_path / "data"), split)).rows_used == count
    assert "there is no split 'valid'; found " in refusal(tmp_path, SourceConfig(str(tmp_path / "data"), "valid"))


def test_json_columns_of_a_parquet_file_are_what_they_say(tmp_path: Path) -> None:
    """datasets keeps a column of several types as JSON text, with a note beside it."""
    turns = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    rows = [{"topic": "t", "messages": [turns[0], turns[1] | {"n": n}]} for n in (1, "x")]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    made = datasets.load_dataset("json", data_files=str(tmp_path / "rows.json"), split="train")
    made.to_parquet(tmp_path / "rows.parquet")
    asked = {"topic": "t", "question": words("q"), "reference": words("r")}
    (tmp_path / "quiz.jsonl").write_text(json.dumps(asked), encoding="utf-8")
    settings = CurriculumConfig(str(tmp_path), sft=str(tmp_path / "rows.parquet"))
    found = load_curriculum(settings, needs_pairs=False)
    assert [row.answer for row in found.topics[0].sft] == ["A."] and found.duplicates == 1


def test_json_in_a_cell_that_is_nested_too_deep_is_one_sentence(tmp_path: Path) -> None:
    features = {"info": {"features": {"messages": {"_type": "Json"}}}}
    cells = pa.table({"messages": ["[" * 200_000]}, metadata={"huggingface": json.dumps(features)})
    pq.write_table(cells, tmp_path / "rows.parquet")
    assert "the data cannot be read" in refusal(tmp_path, str(tmp_path / "rows.parquet"))
