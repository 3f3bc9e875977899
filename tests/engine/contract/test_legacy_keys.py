"""The earlier system's configuration: each key is named with what it is called now, or why it is nothing now."""

from pathlib import Path

import pytest

from engine.contract.errors import InputError
from engine.contract.settings import legacy_keys
from engine.contract.settings.load import keys, load_config

NESTED = """
training_pipeline:
  model: {name: Qwen/Qwen2.5-7B-Instruct, max_seq_length: 2048}
  sft:
    lora: {r: 8, dropout: 0.05, target_modules: [q_proj, v_proj]}
    num_epochs: 3
    per_device_train_batch_size: 4
  dpo:
    lora: {r: 1}
    num_epochs: 1
    learning_rate: 5e-7
  thresholds: {accuracy_threshold: 0.7, dpo_trigger_threshold: 999}
  weight_decay: 0.1
  merge_after_sft: true
  flux: 3
"""


def refusal(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "training_pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ").splitlines()


def test_a_nested_file_is_explained_key_by_key(tmp_path: Path) -> None:
    head, *lines = refusal(tmp_path, NESTED)
    assert "keys of another program" in head
    assert [line.strip().replace("training_pipeline.", "") for line in lines] == [
        "line 3: model.name is here model.name: Qwen/Qwen2.5-7B-Instruct",
        "line 3: model.max_seq_length is here model.max_length: 2048",
        "line 5: sft.lora.r is here sft.rank: 8",
        "line 5: sft.lora.dropout has no counterpart: there is no dropout, so that a run resumes to the same bytes",
        "line 5: sft.lora.target_modules is here sft.modules: ['q_proj', 'v_proj']",
        "line 6: sft.num_epochs is here sft.epochs: 3",
        "line 7: sft.per_device_train_batch_size is here sft.batch: 4",
        "line 9: dpo.lora.r is here dpo.rank: 1",
        "line 10: dpo.num_epochs is here dpo.steps, which counts optimizer steps",
        "line 11: dpo.learning_rate is here dpo.learning_rate: 5e-7",
        "line 12: thresholds.accuracy_threshold is here thresholds.accuracy: 0.7",
        "line 12: thresholds.dpo_trigger_threshold is here thresholds.dpo_trigger, from 0 to 1 and not 999; "
        "dpo.when: never is what turns DPO off",
        "line 13: weight_decay is here sft.weight_decay: 0.1 and dpo.weight_decay: 0.1",
        "line 14: merge_after_sft is here adapters.strategy, which takes a word",
        "line 15: flux is not known here",
    ]


def test_one_key_is_one_sentence(tmp_path: Path) -> None:
    text = "curriculum: {path: x}\nsft:\n  max_steps: 3\n"
    assert refusal(tmp_path, text) == ["line 3: sft.max_steps is here sft.epochs, which counts passes over the rows"]
    assert refusal(tmp_path, "curriculum: {path: x}\ndpo: {temperature: 1}\n") == [
        "line 2: dpo.temperature has no counterpart: answers are greedy, so that scores compare"
    ]


def test_todays_mistakes_are_not_taken_for_yesterdays_keys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r":2: sft\.lerning_rate: unknown key; did you mean 'learning_rate'"):
        (tmp_path / "x.yaml").write_text("curriculum: {path: x}\nsft: {lerning_rate: 1}\n", encoding="utf-8")
        load_config(tmp_path / "x.yaml")


def test_a_deep_file_is_looked_at_for_a_while() -> None:
    data: dict = {"num_epochs": 3}
    data |= {"b": data, "c": data}
    lines = legacy_keys.explain({"a": data}, keys(), {"a.num_epochs": 2})
    assert 2 < len(lines) <= legacy_keys.MOST + 1
    assert lines[0].strip() == "line 2: a.num_epochs is here sft.epochs: 3"


def test_the_table_names_keys_that_there_are() -> None:
    named = {name.replace("*", phase) for name in legacy_keys.NEW for phase in legacy_keys.PHASES}
    assert named - keys() == set()
    words = [name for names in (*legacy_keys.NEW.values(), *legacy_keys.NONE.values()) for name in names.split()]
    assert len(words) == len(set(words)), "each earlier key has one meaning"


def test_only_the_page_for_its_files_speaks_of_an_earlier_system() -> None:
    root = Path(__file__).parents[3]
    pages = [
        root / "README.md",
        root / "CHANGELOG.md",
        *(root / "docs").glob("*.md"),
        *(root / "configs").rglob("*.yaml"),
    ]
    speaking = [page.name for page in pages if "earlier system" in page.read_text(encoding="utf-8").lower()]
    assert speaking == ["DATA.md"]
