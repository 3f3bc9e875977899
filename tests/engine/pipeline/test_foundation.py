"""The foundation: one phase over the rows of all topics first, in ledger, resume and commands as a topic is."""

import dataclasses
import json
import shutil

import pytest
import tiny
import yaml
from breaking import FIRST, SECOND
from dying import Killed, die, died

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.run_folder.folder import RunDir
from engine.contract.settings.load import load_config
from engine.contract.vocabulary import FOUNDATION
from engine.data.foundation import with_foundation
from engine.pipeline import setup
from engine.training import checkpoint
from mindprint_tui.journal.fold import fold
from mindprint_tui.journal.headline import headline
from mindprint_tui.journal.run_state import RunState
from mindprint_tui.view.in_model import sentence
from mindprint_tui.view.panes.outline import outline
from mindprint_tui.view.panes.topics import topic_lines

NAMES = [
    f"001-{FOUNDATION.replace('/', '.')}-sft",
    *(f"{n:03d}-{t.replace('/', '.')}-sft" for n, t in ((2, FIRST), (3, SECOND))),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("sources")
    sources = tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "curriculum", 2)
    foundation = {"epochs": 2, "rank": 4, "alpha": 8, "batch": 2, "accumulation": 2}
    return tiny.settings(*sources, foundation=foundation, adapters={"strategy": "sft_only"})


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> tiny.Ran:
    return tiny.train_here(tiny.new_run(tmp_path_factory.mktemp("whole") / "run", config))


@pytest.fixture
def run(config, tmp_path) -> RunDir:
    return tiny.new_run(tmp_path / "run", config)


def test_it_is_trained_first_on_the_rows_of_all_topics(whole):
    phases = whole.of(e.PhaseStarted)
    assert [phase.topic for phase in phases] == [FOUNDATION, FIRST, SECOND]
    assert phases[0].rows == phases[1].rows + phases[2].rows
    assert whole.committed() == NAMES and whole.status == 0


def test_its_own_settings_are_used_and_the_topics_keep_theirs(whole):
    ranks = {event.topic: (event.rank, event.scale) for event in whole.of(e.AdapterChanged, state="attached")}
    assert ranks == {FOUNDATION: (4, 2.0), FIRST: (4, 2.0), SECOND: (4, 2.0)}
    modules = {event.topic: set(event.module_names) for event in whole.of(e.AdapterChanged, state="attached")}
    assert modules[FOUNDATION] > modules[FIRST]


def test_all_questions_are_answered_before_and_after_it_and_each_only_once(whole):
    questions = {event.question for event in whole.of(e.Sample, stage="before") if event.topic != FOUNDATION}
    for stage in ("before", "sft"):
        asked = whole.of(e.Sample, topic=FOUNDATION, stage=stage)
        assert {sample.question for sample in asked} == questions
    answers = {(s.question, s.answer, s.scores["voice"]) for s in whole.of(e.Sample, stage="before")}
    assert len(answers) == len(questions)  # the same answer and the same score in the topic and in the foundation


def test_a_topic_starts_from_the_foundation(whole):
    before, start = (whole.of(e.Evaluated, topic=FIRST, stage=stage)[0] for stage in ("before", "start"))
    after = whole.of(e.AdapterChanged, topic=FOUNDATION, state="fused")[0].model_fingerprint
    assert start.model_fingerprint != before.model_fingerprint
    assert whole.of(e.TopicStarted, topic=FIRST)[0].model_fingerprint == after


def test_it_has_a_place_of_its_own_in_the_summary_and_is_in_no_count(whole):
    summary = json.loads(whole.run.summary.read_text())
    assert summary["of"] == 2 and [row["topic"] for row in summary["topics"]] == [FIRST, SECOND]
    assert summary["foundation"]["sft"] == "fused" and summary["foundation"]["at_end"]["answers"] == 2
    assert not any(unit.startswith("foundation") for unit in summary["units"])
    finished = whole.of(e.RunFinished)[0]
    assert (finished.passed, finished.of) == (2, 2)


def test_the_console_lists_it_first_and_counts_it_nowhere(whole):
    state = fold(RunState(), whole.records)
    found = outline(state.topics)
    assert [row.id for row in found.rows if row.kind == "topic"] == [FOUNDATION, FIRST, SECOND]
    assert found.numbers == {FIRST: 1, SECOND: 2} and found.finished == 2
    assert headline(state.topics.values()).topics == 2 and state.tally["passed"] == 2
    assert sentence(state.topics.values()) == "in the model: 2 of 2 topics"
    first = "".join(text for text, _ in topic_lines(state, found, None, 60, 5)[0])
    assert first.split()[-1] == "passed" and first.count("→") == 1  # no place for a DPO that it never has


@pytest.mark.parametrize("save", [1, 3])
def test_a_death_in_it_changes_nothing(run, whole, monkeypatch, save):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, checkpoint, "save", save)
        tiny.train_here(run)
    died(run)
    ran = tiny.train_here(run)
    assert ran.adapters() == whole.adapters() and ran.told() == whole.told()


def test_a_skip_leaves_it_out_and_the_run_goes_on(run):
    tiny.ask(run, "c1", "skip", FOUNDATION)
    ran = tiny.train_here(run)
    assert ran.verdicts() == {FOUNDATION: "skipped", FIRST: "passed", SECOND: "passed"}
    assert ran.committed() == [f"{n:03d}-{t.replace('/', '.')}-sft" for n, t in ((1, FIRST), (2, SECOND))]
    assert ran.status == 0
    assert "not in it: Foundation: all rows (skipped)" in sentence(fold(RunState(), ran.records).topics.values())


def test_below_the_thresholds_it_fails_no_run_and_is_not_repeated(config, tmp_path, monkeypatch):
    from engine.pipeline import topic as topics

    real = topics.train_topic

    def train(session, topic, before, done):
        verdict = real(session, topic, before, done)
        return ("below_threshold", "voice 0.10 < 0.5") if topic.id == FOUNDATION else verdict

    monkeypatch.setattr("engine.pipeline.run.train_topic", train)
    config = config | {"run": config["run"] | {"retries": 2}}
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    assert ran.verdicts()[FOUNDATION] == "below_threshold" and ran.status == 0
    assert len(ran.of(e.TopicStarted, topic=FOUNDATION)) == 1


def test_a_run_fails_if_the_foundation_broke(config, tmp_path, monkeypatch):
    from engine.training.phases import sft

    real = sft.sft_loss

    def loss(logps):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(sft, "sft_loss", loss)
    monkeypatch.setattr("engine.pipeline.topic.train_sft", healed(real, sft, monkeypatch))
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    assert ran.verdicts() == {FOUNDATION: "error", FIRST: "passed", SECOND: "passed"} and ran.status == 1


def healed(real, sft, monkeypatch):
    """SFT that is broken for the foundation only."""
    train = sft.train_sft

    def train_sft(session, topic, attempt):
        if topic.id != FOUNDATION:
            monkeypatch.setattr(sft, "sft_loss", real)
        return train(session, topic, attempt)

    return train_sft


def test_a_single_topic_needs_none(config, tmp_path):
    config = json.loads(json.dumps(config))
    config["curriculum"]["topics"] = [FIRST]
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    assert list(ran.verdicts()) == [FIRST]


def test_a_topic_with_its_id_is_refused(config, run):
    curriculum = setup.load(load_config(run.config))
    plain = dataclasses.replace(curriculum, foundation=None)
    named = dataclasses.replace(plain, topics=(dataclasses.replace(plain.topics[0], id=FOUNDATION), plain.topics[1]))
    with pytest.raises(InputError, match="this is the id of the foundation"):
        with_foundation(named)


def test_it_cannot_be_changed_on_resume(run, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(patch, checkpoint, "save", 1)
        tiny.train_here(run)
    config = yaml.safe_load(run.config.read_text())
    config["foundation"]["epochs"] = 3
    run.config.write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=r"foundation.epochs: found 3, but the run began with 2"):
        tiny.train_here(run)


def test_it_may_have_the_rows_of_topics_that_the_run_leaves_out(config, tmp_path):
    config = json.loads(json.dumps(config))
    config["curriculum"]["topics"] = [FIRST]
    config["foundation"]["topics"] = ["unit-01"]
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    rows = {phase.topic: phase.rows for phase in ran.of(e.PhaseStarted)}
    assert list(rows) == [FOUNDATION, FIRST] and rows[FOUNDATION] == 2 * rows[FIRST]
    assert ran.of(e.Evaluated, topic=FOUNDATION, stage="sft")[0].questions == 2
    assert ran.status == 0


def test_an_unknown_topic_of_it_is_named(config, run):
    config = load_config(run.config, ('foundation.topics=["unit-09"]',))
    with pytest.raises(InputError, match=r"foundation.topics: no topic 'unit-09'"):
        setup.load(config)


def test_a_row_of_it_that_is_held_out_is_found(config, tmp_path):
    """A leak between a topic that only the foundation has and a question of the run."""
    config = json.loads(json.dumps(config))
    folder = tmp_path / "curriculum"
    shutil.copytree(config["curriculum"]["path"], folder)
    question = json.loads((folder / "quiz.jsonl").read_text().splitlines()[0])
    assert question["topic"] == FIRST
    row = json.loads((folder / "sft.jsonl").read_text().splitlines()[0]) | {"topic": SECOND}
    row["messages"][-1]["content"] = question["reference"]
    with open(folder / "sft.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    config["curriculum"] |= {"path": str(folder), "topics": [FIRST]}
    run = tiny.new_run(tmp_path / "run", config)
    assert not setup.reasons_not_to_run(setup.load(load_config(run.config)), load_config(run.config))
    config["foundation"]["topics"] = ["unit-01"]
    run = tiny.new_run(tmp_path / "run2", config)
    with pytest.raises(InputError, match="held out, but"):
        tiny.train_here(run)
