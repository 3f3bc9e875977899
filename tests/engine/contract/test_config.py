"""The configuration: what is refused and with which words, what is read, and that every key has a reader (rule 24)."""

import ast
import dataclasses
import runpy
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.errors import InputError
from engine.contract.schema import FieldError, build
from engine.contract.settings.config import RunConfig, SourceConfig
from engine.contract.settings.judge import JudgeConfig
from engine.contract.settings.load import dump_config, keys, load_config
from engine.contract.settings.notify import NotifyConfig
from engine.contract.wording import short

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))
LEAVES = [
    (section, field.name)
    for section, cls in typing.get_type_hints(RunConfig).items()
    for field in dataclasses.fields(cls)
]


def write(folder: Path, text: str, name: str = "night.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(write(folder, text), overrides)
    return str(caught.value)


BASE = "curriculum:\n  path: course\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (BASE + "sft:\n  lerning_rate: 1\n", 4, ["sft.lerning_rate", "unknown key", "did you mean 'learning_rate'"]),
        (BASE + "stf: {}\n", 3, ["stf", "did you mean 'sft'"]),
        (BASE + "sft:\n  rank: eight\n", 4, ["sft.rank", "'eight'", "a whole number"]),
        (BASE + "sft:\n  rank: 8.0\n", 4, ["sft.rank", "8.0", "a whole number"]),
        (BASE + "sft:\n  rank: true\n", 4, ["sft.rank", "True", "a whole number"]),
        (BASE + "sft:\n  clip: false\n", 4, ["sft.clip", "a number"]),
        (BASE + "sft:\n  modules: q_proj\n", 4, ["sft.modules", "a list"]),
        (BASE + "sft:\n  modules: [q_proj, 3]\n", 4, ["sft.modules[1]", "3", "text"]),
        (BASE + "sft: 8\n", 3, ["sft", "8", "a mapping"]),
        (BASE + "sft:\n", 3, ["sft", "None", "a mapping"]),
        (BASE + "dpo:\n  when: sometimes\n", 4, ["dpo.when", "sometimes", "gated, always, never"]),
        (BASE + "thresholds:\n  accuracy: 999\n", 4, ["thresholds.accuracy", "999", "from 0 to 1"]),
        (BASE + "thresholds:\n  dpo_trigger: -0.1\n", 4, ["thresholds.dpo_trigger", "from 0 to 1"]),
        (BASE + "sft:\n  epochs: 0\n", 4, ["sft.epochs", "0", "from 1 to 100000"]),
        (BASE + "sft:\n  learning_rate: 0\n", 4, ["sft.learning_rate", "found 0.0", "from 1e-12 to 1000"]),
        (BASE + "dpo:\n  learning_rate: 0.0\n", 4, ["dpo.learning_rate", "from 1e-12 to 1000"]),
        (BASE + "sft:\n  keep: score\n", 3, ["sft.score_every", "found 0, expected 1 at least", "sft.keep is score"]),
        (BASE + "dpo:\n  validate_every: 0\n  keep: loss\n", 4, ["dpo.validate_every", "dpo.keep is loss"]),
        (BASE + "foundation:\n  patience: 3\n", 4, ["foundation.patience", "found 3, expected 0"]),
        (BASE + "sft:\n  keep: best\n", 4, ["sft.keep", "best", "last"]),
        (BASE + "run:\n  hang_after: 1\n", 4, ["run.hang_after", "found 1, expected 300 at least, or 0"]),
        ("curriculum:\n  path: ~nobody-here/x\n", 2, ["curriculum.path", "'~nobody-here/x', which is no path"]),
        (BASE + "  sft: ~nobody-here/x\n", 3, ["curriculum.sft", "'~nobody-here/x', which is no path"]),
        (BASE + "model:\n  name: ~nobody-here/x\n", 4, ["model.name", "'~nobody-here/x', which is no path"]),
        ('curriculum:\n  path: "a\\0b"\n', 2, ["curriculum.path", "which is no path"]),
        (BASE + "sft:\n  learning_rate: .nan\n", 4, ["sft.learning_rate", "finite"]),
        (BASE + "sft:\n  learning_rate: .inf\n", 4, ["sft.learning_rate", "finite"]),
        (BASE + f"sft:\n  alpha: {'9' * 400}\n", 4, ["sft.alpha", "smaller number"]),
        (BASE + "run:\n  name: 7\n", 4, ["run.name", "7", "text"]),
        (BASE + "sft:\n  rank: 8\n  batch: 2\n  rank: 4\n", 6, ["sft.rank", "twice", "line 4"]),
        (BASE + "sft: {}\nsft: {}\n", 4, ["sft", "twice"]),
        (BASE + "sft: [1,\n", 4, ["not valid YAML"]),
        (BASE + "sft: &a\n  rank: *a\n", 4, ["an alias (*a)"]),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: list[str]) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'night.yaml'}:{line}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["the file is empty", "expected a mapping"]),
        ("- a\n", ["the file is a list", "expected a mapping"]),
        ("sft: {}\n", ["curriculum", "is missing"]),
        ("curriculum: {}\n", ["curriculum.path", "is missing"]),
        (BASE + "dpo:\n  modules: []\n", ["dpo.modules", "distinct module names"]),
        (BASE + "dpo:\n  modules: [o_proj, o_proj]\n", ["dpo.modules", "distinct module names"]),
        (BASE + "when: 2021-13-45\n", ["not valid YAML"]),
    ],
)
def test_what_has_no_line_names_the_file(tmp_path: Path, text: str, words: list[str]) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(str(tmp_path / "night.yaml"))
    for word in words:
        assert word in message


def test_an_endless_alias_is_refused_not_followed(tmp_path: Path) -> None:
    assert "an alias (*a)" in refusal(tmp_path, "curriculum: &a\n  path: x\n  more: *a\n")


def test_a_file_that_is_not_there_names_its_nearest(tmp_path: Path) -> None:
    write(tmp_path, BASE, "quick.yaml")
    with pytest.raises(InputError, match=r"no such configuration file; did you mean .*quick\.yaml"):
        load_config(tmp_path / "quik.yaml")


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, BASE + "sft:\n  learning_rate: 5e-7\ndpo:\n  alpha: 2\n  clip: +1.E3\n"))
    assert config.sft.learning_rate == 5e-7
    assert config.dpo.alpha == 2.0 and isinstance(config.dpo.alpha, float)
    assert config.dpo.clip == 1000.0


def test_paths_are_relative_to_the_file_or_to_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = load_config(write(tmp_path, "curriculum: {path: course}\nmodel: {name: ./base}\n"))
    assert (config.curriculum.path, config.model.name) == (str(tmp_path / "course"), str(tmp_path / "base"))
    config = load_config(write(tmp_path, "curriculum: {path: ~/course}\nmodel: {name: ~/base}\n"))
    assert (config.curriculum.path, config.model.name) == (str(tmp_path / "home/course"), str(tmp_path / "home/base"))
    assert load_config(write(tmp_path, BASE + "model: {name: org/name}\n")).model.name == "org/name"


def test_an_engine_may_be_waited_for_as_long_as_it_takes(tmp_path: Path) -> None:
    for seconds in (0, 300):
        assert load_config(write(tmp_path, BASE + f"run: {{hang_after: {seconds}}}\n")).run.hang_after == seconds


def test_overrides_win(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + "dpo:\n  rank: 2\n")
    found = load_config(
        path, ("dpo.rank=4", "dpo.learning_rate=5e-7", "sft.modules=[q_proj]", "run.name=a=b", "dpo.rank=8")
    )
    assert found.dpo.rank == 8
    assert found.dpo.learning_rate == 5e-7
    assert found.sft.modules == ("q_proj",)
    assert found.run.name == "a=b"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dpo.rank", ["expected section.key=VALUE"]),
        ("=4", ["expected section.key=VALUE"]),
        ("dpo.rank=four", ["'four'", "a whole number"]),
        ("dpo.rnk=4", ["unknown key", "did you mean 'rank'"]),
        ("dpo=4", ["a mapping"]),
        ("nothing=4", ["unknown key"]),
        ("nothing.at.all=4", ["nothing: unknown key"]),
        ("dpo.rank.more=4", ["rank is not a section"]),
        ("dpo.steps.more=4", ["dpo.steps", "a whole number"]),
        ("thresholds.voice=999", ["999", "from 0 to 1"]),
        ("dpo.rank=[", ["not a YAML value"]),
        ("run.name=2021-13-45", ["not a YAML value"]),
        ("sft.epochs=", ["None", "a whole number"]),
        ("sft.modules=[]", ["expected distinct module names"]),
        ("run.seed=-1", ["from 0 to 4294967295"]),
        ("sft.epochs=999999999999999999999999", ["from 1 to 100000"]),
        (f"sft.epochs={'9' * 4000}", ["from 1 to 100000"]),
        ("sft.batch=1000000000", ["from 1 to 4096"]),
        ("dpo.accumulation=1000000000", ["from 1 to 4096"]),
        ("dpo.steps=1000000000", ["from 1 to 1000000"]),
        ("sft.layers=1000000", ["from 0 to 10000"]),
        ("evaluation.batch=1000000000", ["from 1 to 4096"]),
        ("model.max_length=1000000000", ["from 16 to 1048576"]),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(tmp_path: Path, override: str, words: list[str]) -> None:
    message = refusal(tmp_path, BASE + "dpo:\n  rank: 2\n", override)
    assert message.startswith(f"--set {override}: ")
    for word in words:
        assert word in message


def test_a_part_of_a_file_is_refused(tmp_path: Path) -> None:
    """It was ignored in silence; a dataset has parts, by whatever path."""
    for suffix in ("parquet", "csv", "json", "jsonl"):
        for key, value in (("split", "'test[:10]'"), ("subset", "en"), ("revision", "abc")):
            text = f"curriculum:\n  path: course\n  sft:\n    path: rows.{suffix}\n    {key}: {value}\n"
            message = refusal(tmp_path, text)
            assert f"night.yaml:5: curriculum.sft.{key}: found " in message and "a file is read whole" in message
    whole = "curriculum:\n  path: course\n  sft: {path: rows.csv, split: train}\n"
    assert load_config(write(tmp_path, whole)).curriculum.sft.split == "train"
    part = "curriculum:\n  path: course\n  sft: {path: ./rows, split: 'test[:10]'}\n"
    assert load_config(write(tmp_path, part)).curriculum.sft.split == "test[:10]"


def test_an_override_is_not_blamed_for_the_file(tmp_path: Path) -> None:
    assert ":4: sft.rank" in refusal(tmp_path, BASE + "sft:\n  rank: x\n", "dpo.rank=4")


def test_the_effective_configuration_reads_back_equal(tmp_path: Path) -> None:
    text = BASE + "sft: {learning_rate: 5e-7, modules: [q_proj]}\nrun: {name: 'yes', seed: 4294967295}\n"
    config = load_config(write(tmp_path, text))
    (tmp_path / "logs").mkdir()
    dumped = dump_config(config)
    assert load_config(write(tmp_path / "logs", dumped, "config.yaml")) == config
    for section, key in LEAVES:
        assert f"{section}:" in dumped and f"  {key}:" in dumped


@settings(max_examples=30, deadline=None)
@given(
    st.text(min_size=1).filter(str.strip), st.floats(1e-9, 1e3), st.lists(st.text(min_size=1), min_size=1, unique=True)
)
def test_any_text_and_number_survives_the_round_trip(name: str, rate: float, modules: list[str]) -> None:
    data = {"curriculum": {"path": "x"}, "run": {"name": name}, "sft": {"learning_rate": rate, "modules": modules}}
    config = build(RunConfig, data)
    assert build(RunConfig, yaml.safe_load(dump_config(config))) == config


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    config = load_config(path)
    assert (Path(config.curriculum.path) / "curriculum.yaml").is_file()
    assert config.run.name == path.stem


def test_some_configurations_are_shipped() -> None:
    assert SHIPPED


@pytest.fixture(scope="module")
def attributes_read() -> set[str]:
    found: set[str] = set()
    for file in (ROOT / "engine").rglob("*.py"):
        if file != ROOT / "engine/contract/config.py":
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    return found


@pytest.mark.parametrize(("section", "key"), LEAVES, ids=lambda part: part)
def test_every_key_is_read_somewhere(section: str, key: str, attributes_read: set[str]) -> None:
    """Rule 24. `run.name` and the like are common words: a weak net for them, a strong one for all the rest."""
    assert section in attributes_read, f"config.{section} is read by no module of the engine"
    assert key in attributes_read, f"config.{section}.{key} is read by no module of the engine"


def test_an_unknown_section_is_refused() -> None:
    data = {"curriculum": {"path": "x", "new": 1}, "newer": 2}
    with pytest.raises(FieldError, match="newer: unknown key"):
        build(RunConfig, data)


def test_a_value_in_a_message_is_cut_to_a_line() -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    assert short(nested) == "[[[[[...]]]]]"
    assert len(short("x" * 1000)) == 60


def test_every_key_is_in_the_docs():
    """docs/CONFIGURATION.md is written from the configuration's own classes; a key without a meaning is refused."""
    made = runpy.run_path(str(ROOT / "docs" / "configuration.py"))["page"]()
    assert (ROOT / "docs" / "CONFIGURATION.md").read_text() == made, "run `make docs`"
    inner = (SourceConfig, NotifyConfig, JudgeConfig)
    assert made.count("\n| `") == len(keys()) + sum(len(dataclasses.fields(section)) for section in inner)
