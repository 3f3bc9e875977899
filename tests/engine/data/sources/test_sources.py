"""Rows from elsewhere: the earlier system's files, parquet and the like, dataset folders, hub ids; whole runs on them.

No hub is reachable where the tests run: a hub id goes through the very code that loads a dataset folder here.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
import tiny
from curricula import COURSE, ONE, TWO, VOICE, held, pair, quiz, sft, turn, words

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.settings.config import CurriculumConfig, SourceConfig
from engine.contract.settings.load import dump_config, load_config
from engine.data.curriculum import Curriculum, load_curriculum
from engine.data.forms.row_types import Pair, SftRow
from engine.data.heldout.holdout import TopicRows, hold_out
from engine.data.heldout.leaks import find_leaks
from engine.data.sources import text_files
from engine.data.templates.chat_template import Message


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache is not the person's."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "datasets"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A curriculum folder with a voice and nothing else."""
    (tmp_path / "voice.yaml").write_text(VOICE, encoding="utf-8")
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        whole = datasets.Dataset.from_list(rows)
        whole.to_csv(path) if path.suffix == ".csv" else whole.to_parquet(path)
    return path


def load(folder: Path, needs_pairs: bool = True, **settings: Any) -> Curriculum:
    found = load_curriculum(CurriculumConfig(str(folder), **settings), needs_pairs)
    assert found.rows_read == found.rows_used + found.rows_reported, "rule 23, whatever the source"
    return found


def refusal(folder: Path, needs_pairs: bool = True, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, needs_pairs, **settings)
    return str(caught.value)


def plain(topic: str, n: int, **more: Any) -> dict[str, Any]:
    return {"prompt": words("question", topic, n), "completion": words("answer", topic, n), **more}


# --- the earlier system


def earlier(folder: Path) -> Path:
    rows = [
        {"instruction": words("question", topic, n), "input": "", "output": words("answer", topic, n), "source": topic}
        for topic in (ONE, TWO)
        for n in range(3)
    ]
    rows += [{"question": words("q", t), "answer": words("a", t), "source": t} for t in (ONE, TWO)]
    write(folder / "sft_data.jsonl", rows)
    pairs = [pair(topic, n) for topic in (ONE, TWO) for n in range(4)] + [pair("critical", n) for n in range(10)]
    write(folder / "preference_data.jsonl", [{"source": row.pop("topic"), **row} for row in pairs])
    return folder


def test_the_earlier_files_are_found_by_their_names(folder: Path) -> None:
    (earlier(folder) / "curriculum.yaml").write_text(COURSE, encoding="utf-8")
    write(folder / "quiz.jsonl", [quiz(topic, 1) for topic in (ONE, TWO)])
    found = load(folder)
    assert [(t.id, t.title, len(t.sft), len(t.pairs), len(t.heldout)) for t in found.topics] == [
        (ONE, "The wick", 4, 3, 1),
        (TWO, "The oil", 4, 3, 1),
    ]
    assert (found.rows_read, found.rows_reported) == (8 + 18 + 2, 10)
    orphan = f"{folder}/preference_data.jsonl:9: not used: the curriculum has no topic 'critical'"
    assert orphan in found.warnings and held(found) == found.rows_used


def test_the_earlier_files_alone_make_a_course(folder: Path) -> None:
    found = load(earlier(folder), quiz_share=0.25)
    assert [(t.id, t.title) for t in found.topics] == [(ONE, "topic-01"), (TWO, "topic-02")]
    assert [(len(t.sft), len(t.questions)) for t in found.topics] == [(3, 1), (3, 1)]
    assert f"{folder}: there is no curriculum.yaml; the rows name 2 topics" in found.warnings
    assert not list(find_leaks(found.topics))


def test_todays_names_come_first_and_the_other_file_is_reported(folder: Path) -> None:
    write(earlier(folder) / "sft.jsonl", [sft(topic, n) for topic in (ONE, TWO) for n in range(9)])
    found = load(folder, quiz_share=0.2)
    assert {row.where.rpartition(":")[0] for t in found.topics for row in t.sft} == {f"{folder}/sft.jsonl"}
    assert f"{folder}/sft_data.jsonl: not read, since sft.jsonl is there too" in found.warnings


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["The Lamp", "the lamp!", "Äther"], ["the-lamp", "the-lamp-2", "ther"]),
        (["../../etc/passwd", "\x1b[2J", "x" * 500], ["etc-passwd", "2j", "x" * 48]),
        (["unit-02/chapter-01/oil", "??"], ["unit-02/chapter-01/oil", "topic"]),
    ],
)
def test_topics_get_safe_ids_from_any_names(folder: Path, names: list[str], ids: list[str]) -> None:
    write(folder / "sft.jsonl", [sft(name, n) for name in names for n in range(3)])
    found = load(folder, needs_pairs=False, quiz_share=0.3)
    assert [t.id for t in found.topics] == [id if "/" in id else f"unit-01/chapter-01/{id}" for id in ids]
    assert all(len(t.title) <= 200 for t in found.topics)


def test_too_many_names_are_no_course(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.data.topic_list.MAX_TOPICS", 2)
    write(folder / "sft.jsonl", [sft(f"t{n}", n) for n in range(3)])
    assert "more than 2 topics; is that the right column?" in refusal(folder, False, quiz_share=0.5)


# --- other files, datasets


@pytest.mark.parametrize("kind", ["parquet", "json", "csv", "jsonl"])
def test_a_file_of_any_kind_with_its_columns(folder: Path, kind: str) -> None:
    rows = [{"q": words("q", n), "a": words("a", n), "about": "ab"[n % 2], "source": "a website"} for n in range(8)]
    path = write(folder / f"data/train.{kind}", rows)
    source = SourceConfig(str(path), columns={"prompt": "q", "completion": "a"}, topic_column="about")
    found = load(folder, needs_pairs=False, sft=source, quiz_share=0.25)
    assert [(t.id, t.title, len(t.sft)) for t in found.topics] == [
        ("unit-01/chapter-01/a", "a", 3),
        ("unit-01/chapter-01/b", "b", 3),
    ]
    places = {r.where for t in found.topics for r in (*t.sft, *t.questions)}
    assert places == {f"{path}:{n}" if kind == "jsonl" else f"{path} row {n}" for n in range(1, 9)}
    assert held(found) == found.rows_used == 8


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_what_is_wrong_in_a_source_is_named_with_its_row(folder: Path, kind: str) -> None:
    rows = [plain("t", n) for n in range(5)]
    rows[3]["completion"] = None
    path = write(folder / f"train.{kind}", rows)
    place = f"{path}:4" if kind == "jsonl" else f"{path} row 4"
    message = refusal(folder, False, sft=str(path), quiz_share=0.25)
    assert message.startswith(f"{place}: found the fields prompt; expected messages")
    source = SourceConfig(str(path), columns={"prompt": "prompt", "completion": "reply"})
    assert "there is no column 'reply', which the configuration asks for; found prompt, completion" in (
        refusal(folder, False, sft=source, quiz_share=0.25)
    )


def test_nested_rows_and_named_classes_come_out_of_parquet(folder: Path) -> None:
    rows = [{"messages": sft("x", n)["messages"], "kind": n % 2, "chosen": None} for n in range(8)]
    whole = datasets.Dataset.from_list(rows).cast_column("kind", datasets.ClassLabel(names=["wick", "oil"]))
    whole.to_parquet(folder / "train.parquet")
    source = SourceConfig(str(folder / "train.parquet"), topic_column="kind")
    found = load(folder, needs_pairs=False, sft=source, quiz_share=0.25)
    assert [t.title for t in found.topics] == ["wick", "oil"]
    whole = whole.cast_column("kind", datasets.Value("int64"))
    whole.to_parquet(folder / "train.parquet")
    assert [t.title for t in load(folder, needs_pairs=False, sft=source, quiz_share=0.25).topics] == ["0", "1"]


def test_a_dataset_without_topics_is_one_topic(folder: Path) -> None:
    path = write(folder / "train.parquet", [plain("t", n, source=f"site {n}") for n in range(6)])
    pairs = write(folder / "pairs.parquet", [pair("elsewhere", n) for n in range(4)])
    found = load(folder, sft=str(path), preferences=str(pairs), quiz_share=0.2)
    assert [(t.id, t.title, len(t.sft), len(t.pairs)) for t in found.topics] == [
        ("unit-01/chapter-01/topic-01", "train", 5, 3)
    ]
    write(folder / "quiz.jsonl", [{"question": words("q", 1), "reference": words("r", 1)}])
    assert len(load(folder, sft=str(path), preferences=str(pairs)).topics[0].sft) == 6
    mixed = [plain("t", n) | ({"topic": ONE} if n else {}) for n in range(3)] + [plain("u", 1) | {"topic": TWO}]
    message = refusal(folder, False, sft=str(write(folder / "mixed.jsonl", mixed)), quiz_share=0.2)
    assert message.startswith(f"{folder}/mixed.jsonl:1: topic: found None")


def test_a_dataset_folder_with_splits_and_subsets(folder: Path) -> None:
    """What a hub id goes through: the library's own resolution, splits and cache."""
    home = folder / "org"
    for name in ("small", "large"):
        for split, count in (("train", 8), ("test", 4)):
            write(home / f"{name}/{split}.parquet", [plain(name + split, n) for n in range(count)])
    lines = [f"- config_name: {n}\n  data_files:\n" for n in ("small", "large")]
    files = "".join(f'  - {{split: {s}, path: "%s/{s}.parquet"}}\n' for s in ("train", "test"))
    configs = "".join(line + files.replace("%s", n) for line, n in zip(lines, ("small", "large"), strict=True))
    (home / "README.md").write_text(f"---\nconfigs:\n{configs}---\n", encoding="utf-8")
    source = SourceConfig(str(home), subset="large", split="train[:6]")
    found = load(folder, needs_pairs=False, sft=source, quiz_share=0.2)
    assert held(found) == 6
    assert found.topics[0].sft[0].where.startswith(f"{home} row ")
    assert found.topics[0].sft[0].answer.startswith(words("answer", "largetrain", 0)[:5]) or found.topics[0].questions
    wrong = SourceConfig(str(home), subset="large", split="valid")
    assert "valid" in refusal(folder, False, sft=wrong, quiz_share=0.2)
    wrong = SourceConfig(str(home), subset="huge")
    assert "cannot be read" in refusal(folder, False, sft=wrong, quiz_share=0.2)


def test_a_folder_as_mlx_lm_has_it(folder: Path) -> None:
    """train.jsonl and valid.jsonl; the one is trained on, the other asked."""
    home = folder / "data"
    write(home / "train.jsonl", [plain("train", n) for n in range(4)])
    write(home / "valid.jsonl", [plain("valid", n) for n in range(2)])
    quiz = SourceConfig(str(home), "validation", columns={"question": "prompt", "reference": "completion"})
    found = load(folder, needs_pairs=False, sft=SourceConfig(str(home)), quiz=quiz)
    assert [(len(t.sft), len(t.questions)) for t in found.topics] == [(4, 2)]
    assert found.topics[0].questions[0].question == words("question", "valid", 0)


def test_a_hub_that_cannot_be_reached_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def unreachable(*args: Any, **more: Any) -> None:
        asked.append((args, more))
        raise ConnectionError("no route to host\nand a page of details")

    monkeypatch.setattr(datasets, "load_dataset_builder", unreachable)
    source = SourceConfig("org/rows", subset="en", revision="abc")
    assert refusal(folder, False, sft=source, quiz_share=0.2) == (
        "The dataset 'org/rows' could not be loaded from the Hugging Face hub: no route to host; "
        "a local folder is written as a path, for example ./org/rows"
    )
    assert asked == [(("org/rows",), {"name": "en", "revision": "abc"})]


def test_a_hub_dataset_that_was_had_before_needs_no_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset of a hub id, as the library leaves it in its cache: what a run that is resumed finds."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache"))
    write(folder / "once/train.parquet", [plain("t", n) for n in range(5)])
    datasets.load_dataset(str(folder / "once"))
    (made,) = (path.parent for path in (folder / "cache").rglob("dataset_info.json"))
    kept = folder / "cache/org___rows/default/0.0.0" / ("0123456789" * 4)
    shutil.copytree(made, kept)
    (kept / "once-train.arrow").rename(kept / "rows-train.arrow")
    found = load(folder, needs_pairs=False, sft=SourceConfig("org/rows"), quiz_share=0.2)
    assert held(found) == 5 and found.topics[0].title == "rows"
    assert found.topics[0].sft[0].where.startswith("org/rows row ")


def test_a_dataset_of_another_kind_is_not_opened(folder: Path) -> None:
    """A tar of a web dataset may hold pickles; a text file is no rows."""
    for name in ("shard.tar", "lines.txt"):
        home = folder / name.partition(".")[0]
        home.mkdir()
        (home / name).write_bytes(b"x" * 2048)
        message = refusal(folder, False, sft=str(home), quiz_share=0.2)
        assert str(home) in message and ("is not read" in message or "cannot be read" in message)
    script = folder / "script"
    script.mkdir()
    (script / "script.py").write_text("raise SystemExit('code of a dataset was run')", encoding="utf-8")
    assert str(script) in refusal(folder, False, sft=str(script), quiz_share=0.2)


def test_damaged_and_missing_files_are_named(folder: Path) -> None:
    (folder / "sft.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    assert refusal(folder, False, quiz_share=0.2).startswith(f"{folder}/sft.parquet: the data cannot be read: ")
    for name in ("gone.parquet", "gone.jsonl"):
        assert refusal(folder, False, sft=str(folder / name), quiz_share=0.2) == f"{folder / name}: no such file"
    assert refusal(folder / "sft.parquet").endswith("if the rows are elsewhere, name them in curriculum.sft")
    (folder / "sft.parquet").unlink()
    assert "sft.jsonl: no such file (rows to train on)" in refusal(folder, False, quiz_share=0.2)
    write(folder / "sft.jsonl", [sft(ONE, n) for n in range(4)])
    assert "curriculum.quiz_share" in refusal(folder, False)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_more_rows_than_the_limit_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(text_files, "MAX_ROWS", 3)
    path = write(folder / f"sft.{kind}", [plain("t", n) for n in range(4)])
    assert f"{path}" in refusal(folder, False, quiz_share=0.2)
    assert "more than 3" in refusal(folder, False, quiz_share=0.2)


def test_a_part_is_suggested_only_where_there_are_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_ROWS", 3)
    home = write(folder / "data/test.parquet", [plain("t", n) for n in range(4)]).parent
    message = refusal(folder, False, sft=str(home / "test.parquet"), quiz_share=0.2)
    assert message.endswith("more than 3 rows; write a smaller file")
    message = refusal(folder, False, sft=SourceConfig(str(home), "test"), quiz_share=0.2)
    assert message.endswith("more than 3 rows; take a part, for example split: test[:1000]")


def test_a_hub_id_is_never_a_folder_that_happens_to_lie_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "org/rows/train.jsonl", [plain("t", n) for n in range(4)])
    monkeypatch.chdir(folder)
    message = refusal(folder, False, sft=SourceConfig("org/rows"), quiz_share=0.2)
    assert message.startswith(f"org/rows: expected a Hugging Face dataset, but {folder}/org/rows would be read")
    assert held(load(folder, False, sft=str(folder / "org/rows"), quiz_share=0.2)) == 4


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_what_cannot_be_read_is_told_once(folder: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The library's own words on stderr would be a second telling, in its terms."""
    damaged = b'a,b\n1,"2\n1,2\n' if kind == "csv" else b'"a,b\n\xff\xfe\0'
    (folder / f"rows.{kind}").write_bytes(damaged)
    datasets.logging.set_verbosity_warning()
    logging.getLogger("datasets").addHandler(caplog.handler)
    assert "cannot be read" in refusal(folder, False, sft=str(folder / f"rows.{kind}"), quiz_share=0.2)
    assert caplog.messages == []
    logging.getLogger("datasets").removeHandler(caplog.handler)


def test_a_folder_that_is_called_as_a_file(folder: Path) -> None:
    for kind in ("csv", "jsonl"):
        (folder / f"rows.{kind}").mkdir()
        message = refusal(folder, False, sft=str(folder / f"rows.{kind}"), quiz_share=0.2)
        assert message == f"{folder}/rows.{kind}: found a folder, expected a file"


# --- what is held out


def test_a_quiz_takes_the_whole_question(folder: Path) -> None:
    """Every row and every pair that asks what the quiz asks leaves the training."""
    rows = [sft(ONE, n) for n in range(6)]
    write(folder / "sft.jsonl", rows)
    pairs = [pair(ONE, n, prompt=rows[n]["messages"][0]["content"]) for n in range(6)]
    write(folder / "preferences.jsonl", pairs)
    topic = load(folder, quiz_share=0.34, heldout_share=0.34).topics[0]
    asked = {question.question for question in topic.questions}
    assert len(asked) == 2 and len(topic.sft) == 4
    assert {p.messages[-1].content for p in topic.heldout} == asked
    assert not asked & {r.messages[-1].content for r in (*topic.sft, *topic.pairs)}
    assert not list(find_leaks([topic]))


def test_what_overlaps_is_not_held_out(folder: Path) -> None:
    same = words("the same answer")
    rows = [sft(ONE, n) for n in range(5)]
    for row in rows[:4]:
        row["messages"][1]["content"] = same
    write(folder / "sft.jsonl", rows)
    pairs = [pair(ONE, n, prompt=rows[n]["messages"][0]["content"]) for n in range(3)]
    write(folder / "preferences.jsonl", pairs)
    found = load(folder, quiz_share=0.5)
    assert [question.where for question in found.topics[0].questions] == [f"{folder}/sft.jsonl:5"]
    assert found.topics[0].heldout == ()
    assert any("0 of 3 pairs are held out, 1 were asked for" in text for text in found.warnings)
    assert not list(find_leaks(found.topics))
    rows[4]["messages"][1]["content"] = same
    write(folder / "sft.jsonl", rows)
    assert "none of its 5 rows can be held out as a question" in refusal(folder, quiz_share=0.5)


def test_a_large_topic_takes_as_long_a_row_as_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs were compared with one another, and all rows read again for every question: 60,000 took minutes."""

    def prompt(n: int) -> tuple[Message, ...]:
        return (Message("user", words("asked", n)),)

    def reads(count: int) -> int:
        rows = [SftRow(prompt(n), words("said", n), f"sft:{n}") for n in range(count)]
        pairs = [Pair(prompt(-n), words("good", n), words("poor", n), None, f"pairs:{n}") for n in range(1, count)]
        slot, seen = SftRow.where, []
        with monkeypatch.context() as patch:
            patch.setattr(SftRow, "where", property(lambda row: seen.append(1) or slot.__get__(row)))
            patch.setattr(Pair, "__eq__", lambda one, other: pytest.fail("pairs are compared"))
            hold_out({ONE: TopicRows(rows, pairs)}, 0.5, 0.5)
        return len(seen)

    assert reads(120) < 4 * reads(40)


def test_only_plain_questions_become_a_quiz(folder: Path) -> None:
    system = {"messages": [turn("system", "Be brief."), *sft(ONE, 1)["messages"]]}
    write(folder / "sft.jsonl", [system, {"text": words("text")}, sft(ONE, 2) | {"topic": None}])
    found = load(folder, False, quiz_share=0.9)
    assert [q.where for q in found.topics[0].questions] == [f"{folder}/sft.jsonl:3"]
    assert any("1 of 2 rows are plain text" in text for text in found.warnings)


# --- the configuration


def test_sources_in_a_configuration(tmp_path: Path) -> None:
    text = """
curriculum:
  path: course
  sft: {path: org/rows, split: test, columns: {prompt: q, completion: a}, topic_column: about}
  preferences: data/pairs.parquet
  quiz: ./quizzes
"""
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    found = load_config(tmp_path / "mine.yaml").curriculum
    assert found.sft == SourceConfig(
        "org/rows", "test", columns={"prompt": "q", "completion": "a"}, topic_column="about"
    )
    assert found.preferences == SourceConfig(str(tmp_path / "data/pairs.parquet"))
    assert found.quiz == SourceConfig(str(tmp_path / "quizzes"))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/config.yaml").write_text(dump_config(load_config(tmp_path / "mine.yaml")), encoding="utf-8")
    assert load_config(tmp_path / "logs/config.yaml").curriculum == found, "what a run writes, it reads back"
    for line, message in (
        ("{split: x}", r"mine\.yaml:3: curriculum\.sft\.path: is missing"),
        ("5", r"mine\.yaml:3: curriculum\.sft: found 5"),
        ("{path: x, columns: {promt: p}}", "'promt' is not a field of a row; did you mean 'prompt'?"),
    ):
        (tmp_path / "mine.yaml").write_text(f"curriculum:\n  path: course\n  sft: {line}\n", encoding="utf-8")
        with pytest.raises(InputError, match=message):
            load_config(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("curriculum:\n  path: x\n  sft:\n    path: y\n    splt: z\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.yaml:5: curriculum\.sft\.splt: unknown key; did you mean 'split'"):
        load_config(tmp_path / "mine.yaml")


# --- whole runs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("model") / "model")


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def run(model: Path, where: Path, **curriculum: Any) -> tiny.Ran:
    config = tiny.settings(model, where / "course")
    config["curriculum"] |= curriculum
    ran = tiny.train_here(tiny.new_run(where / "run", config))
    assert ran.status == 0 and ran.of(e.Failed) == []
    assert set(ran.verdicts().values()) == {"passed"}
    for phase in ("sft", "dpo"):
        assert ran.of(e.PhaseStarted, phase=phase)
    return ran


def test_a_run_on_the_earlier_systems_files(model: Path, tmp_path: Path) -> None:
    course = tiny.make_curriculum(tmp_path / "course", 2)
    rows, pairs = rows_of(course, "sft"), rows_of(course, "preferences")
    old = [
        {"question": q["content"], "answer": a["content"], "source": row["topic"]}
        if n % 2
        else {"instruction": q["content"], "input": "", "output": a["content"], "source": row["topic"]}
        for n, row in enumerate(rows)
        for q, a in [row["messages"]]
    ]
    write(course / "sft_data.jsonl", old)
    keys = ("prompt", "chosen", "rejected")
    write(course / "preference_data.jsonl", [{k: p[k] for k in keys} | {"source": p["topic"]} for p in pairs])
    for name in ("sft.jsonl", "preferences.jsonl", "quiz.jsonl", "curriculum.yaml"):
        (course / name).unlink()
    ran = run(model, tmp_path, quiz_share=0.34)
    assert list(ran.verdicts()) == list(tiny.TOPICS[:2])
    infos = ran.of(e.CurriculumLoaded)[0].topics
    assert [(info.sft_rows, info.pairs, info.questions) for info in infos] == [(2, 3, 1), (2, 3, 1)]


def test_a_run_on_parquet(model: Path, tmp_path: Path) -> None:
    course = tiny.make_curriculum(tmp_path / "course", 1)
    for name in ("sft", "preferences", "quiz"):
        rows = rows_of(course, name)
        write(tmp_path / f"data/{name}.parquet", [{k: v for k, v in row.items() if k != "topic"} for row in rows])
        (course / f"{name}.jsonl").unlink()
    names = {name: str(tmp_path / f"data/{name}.parquet") for name in ("sft", "preferences", "quiz")}
    ran = run(model, tmp_path, **names)
    infos = ran.of(e.CurriculumLoaded)[0].topics
    assert [(info.id, info.sft_rows, info.pairs, info.questions) for info in infos] == [(tiny.TOPICS[0], 3, 3, 1)]


def test_a_run_on_plain_text(model: Path, tmp_path: Path) -> None:
    """Rule 12 holds for text without a prompt: every token after the first, and one end token."""
    course = tiny.make_curriculum(tmp_path / "course", 1)
    texts = ["Aye, the lamp is lit at dusk.", "Nay, no lamp burns by itself in a gale."]
    write(course / "sft.jsonl", [{"topic": tiny.TOPICS[0], "text": text} for text in texts])
    ran = run(model, tmp_path)
    tokenizer = tiny.TOKENIZERS[0]
    started = ran.of(e.PhaseStarted, phase="sft")[0]
    assert started.supervised_tokens == sum(len(tokenizer.encode(text)) for text in texts)
    assert started.total_tokens == started.supervised_tokens + len(texts)


def test_the_example_in_the_docs_is_a_configuration(tmp_path: Path) -> None:
    text = (tiny.ROOT / "docs/DATA.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "mine.yaml").write_text(example, encoding="utf-8")
    found = load_config(tmp_path / "mine.yaml").curriculum
    assert found.sft == tuple(SourceConfig(str(tmp_path / name)) for name in ("data/train.parquet", "more.csv"))
    assert isinstance(found.preferences, SourceConfig) and found.preferences.path == "org/name"
