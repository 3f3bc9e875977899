"""The preflight: what it measures, what it refuses, and that it leaves nothing; and the prediction of every run."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
import tiny
import yaml
import zoo
from mlx.utils import tree_flatten

from engine import check as checks
from engine.adapters.committed_model import open_stage
from engine.check import check
from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.settings.config import RunConfig
from engine.contract.settings.load import load_config
from engine.model import backend, cpu_lanes, loading
from engine.pipeline import decisions
from engine.pipeline.decisions import Decision
from engine.preflight.forecast import Rates, TopicWork, as_answered, of_topics, refined
from engine.rules.catalogue import RULES
from engine.runtime.history import read_history
from engine.runtime.summary import predicted_seconds
from engine.training import losses
from engine.training.phases import dpo
from mindprint_tui.process import programs
from mindprint_tui.view.pages.preflight import lines
from mindprint_tui.view.text import cell_len

PROGRAM = Path(sys.executable).with_name("mindprint-tui")
ONE, TWO = tiny.TOPICS[:2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return tiny.make_model(folder / "model"), tiny.make_curriculum(folder / "course")


@pytest.fixture
def examined(tmp_path: Path, made: tuple[Path, Path]) -> Iterator[Any]:
    """check() in this process, on the tiny curriculum or a changed copy of it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(course: Path = made[1], model: Path = made[0], **sections: dict[str, Any]) -> dict[str, Any]:
        with tiny.quick_loading():
            return check(tiny.new_run(tmp_path / "scratch", tiny.settings(model, course, **sections)))

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def changed(made: tuple[Path, Path], folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    """A copy of the tiny curriculum with rows added to one of its files."""
    course = tiny.make_curriculum(folder)
    with open(course / f"{name}.jsonl", "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return course


def every_rule_once(report: dict[str, Any]) -> None:
    found = report["rules"]
    assert sorted([*found["held"], *found["broken"], *found["not_looked_at"]]) == sorted(RULES)


def test_the_report_of_a_run_that_can_be_made(examined: Any) -> None:
    report = examined()
    assert report["problems"] == []
    assert report["data"] | {"longest": 0} == {
        "rows_read": 14, "rows_used": 14, "orphans": 0, "duplicates": 0, "supervised_tokens": 83, "total_tokens": 456,
        "rendered": report["data"]["rendered"],
        "longest": 0, "cut": 0, "max_length": 128, "unusable": 0, "not_trained": 0,
    }  # fmt: skip
    first = report["topics"][0]
    assert (first["sft_rows"], first["pairs"], first["heldout"], first["questions"]) == (3, 2, 1, 1)
    assert (first["voice"]["chosen"], first["voice"]["rejected"]) == (1.0, 0.0)  # too few rows for one reference
    assert any("the rows do not tell this voice from other text" in warning for warning in report["warnings"])
    assert any("2 of 2 topics have fewer than 5 questions" in warning for warning in report["warnings"])
    controls = {control["name"]: control for control in report["controls"]}
    assert controls["one training row for every question"]["passed"] == 0
    assert 0 < controls["references"]["n"] <= 2
    assert first["base"]["voice"] == 0.0
    assert 0 < first["base"]["accuracy"] < 1
    assert [phase["phase"] for phase in report["selftest"]] == ["sft", "dpo"]
    assert report["selftest"][1]["losses"][0] == pytest.approx(0.6931, abs=1e-3)
    for rule in ("trainable-set", "frozen-unchanged", "dpo-starts-at-ln2", "reference-fixed", "detach-restores"):
        assert report["rules"]["held"][rule] > 0
    later = [
        "ledger-has-the-last",
        "kept-as-measured",
        "validation-reads-only",
        "success-is-earned",
        "final-model-examined",
        "attempt-has-steps",
        "resume-exact",
        "files-whole",
    ]
    assert list(report["rules"]["not_looked_at"]) == later
    every_rule_once(report)
    found = report["prediction"]
    assert found["seconds"] > found["least"] > found["loading"] + found["base"]
    assert found["process_bytes"] > found["peak_bytes"] > 1e6
    shown = lines(report, 80)
    assert max(map(cell_len, shown)) <= 80
    told = " ".join(" ".join(shown).split())
    assert f"{len(RULES) - 8} of {len(RULES)} held, looked at" in told and "8 are checked later in a run" in told
    accuracy = f"{first['base']['accuracy']:.2f}"
    assert any(line.startswith("The lamp") and line.endswith(accuracy) for line in shown)
    assert shown[-1] == "✓ nothing stands in the way of a run"


@pytest.mark.parametrize(("strategy", "phases"), [("shared", ["sft", "dpo"]), ("sft_only", ["sft"])])
def test_each_strategy_is_tried_as_it_would_run(examined: Any, strategy: str, phases: list[str]) -> None:
    report = examined(adapters={"strategy": strategy})
    assert report["problems"] == []
    assert [phase["phase"] for phase in report["selftest"]] == phases
    every_rule_once(report)


@pytest.mark.parametrize("strategy", ["fuse_between", "shared"])
def test_the_memory_of_a_quantized_base_is_said_as_it_comes_to_be(
    examined: Any, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """Every module that a run trains stays dequantized; the self-test commits SFT alone, and that not where shared."""
    for name in ("after_phase", "after_dpo"):
        monkeypatch.setattr(decisions, name, lambda *args: Decision("keep", "for the test"))
    monkeypatch.setattr(cpu_lanes, "_lanes", lambda: 1)  # two meet at their peaks, or do not
    base, shared = zoo.make("llama", tmp_path / "model", 4), strategy == "shared"
    modules = {"sft": {"modules": ["up_proj" if shared else "q_proj"]}, "dpo": {"modules": ["up_proj", "down_proj"]}}
    sections: dict[str, Any] = {"adapters": {"strategy": strategy}, **modules}
    tiny.embedder()
    gc.collect()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    report = examined(model=base, **sections)
    found, ahead = report["prediction"], report["prediction"]["dequantized_bytes"]
    assert any("GB of it because a quantized base" in line for line in lines(report, 200))
    committed = 0 if shared else 2 * (64 * 64 * 4 - 64 * 64 * 3 // 4)  # 4 bits each, and two numbers to 32 of them
    assert found["peak_bytes"] >= report["selftest"][1]["peak_bytes"] + ahead - committed
    gc.collect()
    again = mx.get_active_memory()
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(base, made[1], **sections)))
    assert {event.state for event in ran.of(e.AdapterChanged, topic=TWO)} == {"attached", "fused"}
    deltas = sum(map(len, ran.adapters().values()))  # which a run keeps in memory, and nobody predicts
    assert found["peak_bytes"] - before >= max(step.peak_bytes for step in ran.of(e.Step)) - again - deltas
    whole, fresh = open_stage(ran.run, None, backend.prepare(), print).ledger.model, loading.load(base, "float32").model
    assert ahead == size(whole) - size(fresh) > 0
    (warned,) = ran.of(e.Warned, key="dequantized")
    assert f"takes {ahead / 1e9:.2g} GB more" in warned.message
    kinds = [record.event.kind for record in ran.records]
    assert kinds.index("warned") < kinds.index("topic_started")


def size(model: Any) -> int:
    return sum(array.nbytes for _, array in tree_flatten(model.parameters()))


@pytest.mark.parametrize("crowded", [0.0, 1e9])
def test_a_base_that_passes_and_a_machine_that_is_too_small_are_warned_of(
    examined: Any, monkeypatch: pytest.MonkeyPatch, crowded: float
) -> None:
    monkeypatch.setattr(checks, "CROWDED", crowded)  # the share of the machine's memory
    warnings = examined(thresholds={"voice": 0.0 if crowded else 0.5})["warnings"]
    size = [text for text in warnings if re.fullmatch(r"a run takes about .* GB of the .* GB that it can have", text)]
    passing = f"the base model passes 2 of 2 topics untrained, {ONE} among them: passing says nothing about training"
    assert (len(size), any(text.startswith(passing) for text in warnings)) == ((0, True) if crowded else (1, False))


def test_a_rule_that_breaks_in_the_self_test_is_a_problem(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(a: Any, b: Any, c: Any, d: Any, beta: float) -> Any:
        return losses.dpo_loss(b, a, d, c, beta)

    monkeypatch.setattr(dpo, "dpo_loss", flipped)
    report = examined()
    assert "the self-test broke the rule dpo-starts-at-ln2" in report["problems"][0]
    assert report["rules"]["broken"] == ["dpo-starts-at-ln2"]
    every_rule_once(report)
    assert report["prediction"] is None
    assert "predicted – not measured" in lines(report, 80)


def test_leaks_are_all_named_and_nothing_is_loaded(examined: Any, made: tuple[Path, Path], tmp_path: Path) -> None:
    leaks = [
        {"topic": ONE, "question": "Who minds the lamp?", "reference": "Aye, every one of us does."},
        {"topic": TWO, "question": "What is a rope for?", "reference": "Nay, the rope is new, lad."},
    ]
    course = changed(made, tmp_path / "course", "quiz", *leaks)
    report = examined(course)
    assert [sentence.partition(": ")[0].rpartition("/")[2] for sentence in report["problems"]] == [
        "quiz.jsonl:3",
        "quiz.jsonl:4",
    ]
    assert report["model"] is None and report["selftest"] is None
    assert "2 things stand in its way" in lines(report, 80)[-1]


@pytest.mark.parametrize("word", ["error", "warn"])
def test_a_closed_gate_is_a_problem_unless_it_is_meant(
    examined: Any, made: tuple[Path, Path], tmp_path: Path, word: str
) -> None:
    plain = {"topic": TWO, "question": "Which knots does a keeper know?", "reference": "A keeper knows some knots."}
    report = examined(changed(made, tmp_path / "course", "quiz", plain), thresholds={"voice": 0.9, "unreachable": word})
    told, quiet = ("problems", "warnings") if word == "error" else ("warnings", "problems")
    sentence = f"{TWO}: the references themselves score voice "
    assert [text.startswith(sentence) for text in report[told]].count(True) == 1
    assert not any(text.startswith(sentence) for text in report[quiet])
    assert (report["model"] is None) == (word == "error")
    if word == "warn":
        assert report["rules"]["broken"] == ["gates-reachable"]
        every_rule_once(report)


BROKEN = (  # references that break the voice rules, of a curriculum whose quiz has two lines that do not
    "Aye, I am a machine of brass.",
    "Aye, it is important to keep it dry.",
    "A keeper knows some knots.",
    "Aye, it is important.",
    "Nay, it is important to wait.",
    "Aye, it is important, lad.",
    "No.",
)


@pytest.fixture
def breaking(tmp_path: Path, made: tuple[Path, Path]) -> Path:
    """A curriculum with BROKEN in its quiz, from line 3 on."""
    asked = [f"What of {thing}, keeper?" for thing in "brass damp knots wicks gales tides fog".split()]
    rows = [{"topic": ONE, "question": q, "reference": r} for q, r in zip(asked, BROKEN, strict=True)]
    course = changed(made, tmp_path / "course", "quiz", *rows)
    distinction = {"name": "a keeper is no machine", "patterns": ["I am a machine"]}
    (course / "voice.yaml").write_text(yaml.safe_dump(tiny.VOICE | {"distinctions": [distinction]}))
    return course


def of_references(course: Path) -> list[str]:
    quiz = course / "quiz.jsonl"
    return [
        f"{quiz}:3: the reference says 'I am a machine', against the distinction 'a keeper is no machine'",
        f"{quiz}:4: the reference says 'it is important', which is to be avoided (and 3 more: {quiz}:6, {quiz}:7, …)",
    ]


def test_references_that_break_the_voice_rules_are_named_with_the_rule(examined: Any, breaking: Path) -> None:
    """Rule 20, where the topic's mean passes and where it does not."""
    report = examined(breaking, thresholds={"voice": 0.4})
    assert report["problems"] == []
    assert [text for text in report["warnings"] if "quiz.jsonl" in text] == of_references(breaking)


def test_a_run_begins_with_the_references_that_break_the_voice_rules(made: Any, breaking: Path, tmp_path: Path) -> None:
    config = tiny.settings(made[0], breaking, thresholds={"voice": 0.4}, adapters={"strategy": "sft_only"})
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", config))
    told = [event.message for event in ran.of(e.Warned, key="curriculum")]
    assert [text for text in told if "the reference " in text] == of_references(breaking)


def test_thresholds_that_turn_dpo_off_are_said(examined: Any) -> None:
    report = examined(thresholds={"dpo_trigger": 0.0}, dpo={"when": "gated"})
    assert report["problems"] == []
    assert any("DPO never runs" in warning for warning in report["warnings"])


@pytest.mark.parametrize("strategy", ["shared", "fuse_between"])
def test_settings_that_a_shared_adapter_does_not_heed_are_said(examined: Any, strategy: str) -> None:
    report = examined(adapters={"strategy": strategy}, dpo={"rank": 3, "alpha": 1.0, "layers": 1})
    said = "adapters.strategy = shared: dpo.rank, dpo.layers say nothing, since DPO goes on with SFT's adapter"
    assert report["problems"] == [] and (said in report["warnings"]) == (strategy == "shared")


def test_memory_is_measured_by_what_the_device_recommends(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 1 << 20})
    report = examined()
    assert report["prediction"]["memory_bytes"] == 1 << 20
    assert any("GB of the 0.0 GB that it can have" in warning for warning in report["warnings"])
    monkeypatch.setattr(mx, "device_info", dict)
    assert backend.memory_bytes() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("name", "row", "line"),
    [
        ("sft", {"topic": ONE, "prompt": "Who?", "completion": "Aye, lad.<|im_end|>"}, 7),
        ("preferences", {"topic": ONE, "prompt": "Who?", "chosen": "Aye.", "rejected": "No.<|im_start|>user"}, 7),
        ("quiz", {"topic": ONE, "question": "Who?", "reference": "Aye, lad.<|im_end|>"}, 3),
    ],
)
def test_a_mark_in_an_answer_is_named_with_its_place(
    examined: Any, made: tuple[Path, Path], tmp_path: Path, name: str, row: dict[str, Any], line: int
) -> None:
    report = examined(changed(made, tmp_path / "course", name, row))
    assert f"{name}.jsonl:{line}: the answer has <|im_" in report["problems"][0]


def test_orphans_duplicates_and_cut_rows_are_counted(examined: Any, made: tuple[Path, Path], tmp_path: Path) -> None:
    row = {"topic": ONE, "prompt": "Is it a long tale?", "completion": "Aye, " + "and then it went on " * 30}
    course = changed(made, tmp_path / "course", "sft", row, row, row | {"topic": "unit-09/chapter-01/topic-01"})
    report = examined(course)
    data = report["data"]
    assert (data["orphans"], data["duplicates"], data["cut"], data["longest"]) == (1, 1, 1, 128)
    assert any("1 orphan, 1 duplicate, no leaks" in line for line in lines(report, 120))
    assert report["topics"][0]["cut"] == (f"{course}/sft.jsonl:7",)
    assert len(report["warnings"]) >= 2


def test_a_prompt_that_leaves_no_room_is_refused(examined: Any, made: tuple[Path, Path], tmp_path: Path) -> None:
    row = {"topic": ONE, "prompt": "and then? " * 200, "completion": "Aye."}
    report = examined(changed(made, tmp_path / "course", "sft", row))
    assert "sft.jsonl:7: the prompt has" in report["problems"][0]


def test_the_command_says_so_and_leaves_nothing(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = {"topic": ONE, "question": "Who minds the lamp?", "reference": "Aye, every one of us does."}
    course = changed(made, tmp_path / "course", "quiz", leak)
    config, scratch = tmp_path / "mine.yaml", tmp_path / "scratch"
    config.write_text(yaml.safe_dump(tiny.settings(made[0], course)))
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = sorted(tmp_path.rglob("*"))
    for arguments in ([], ["--json"]):
        command = [PROGRAM, "check", "mine.yaml", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "held out, but" in done.stdout
    assert json.loads(done.stdout)["problems"][0].endswith("change one of the two")
    assert sorted(tmp_path.rglob("*")) == before
    wrong = subprocess.run([PROGRAM, "check", "nowhere.yaml"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "no such configuration file" in wrong.stderr


def test_a_kill_takes_the_throw_away_folder_with_it(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, scratch = tmp_path / "mine.yaml", tmp_path / "scratch"
    config.write_text(yaml.safe_dump(tiny.settings(*made)))
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = subprocess.Popen([PROGRAM, "check", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def left() -> list[Path]:
        return [path for path in scratch.iterdir() if path.name != "mlx"]  # where MLX keeps what it has compiled

    while not left():
        time.sleep(0.02)
    process.terminate()
    process.communicate()
    assert process.returncode == 130
    assert left() == []


def test_a_preflight_that_dies_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.CompletedProcess([], -signal.SIGKILL, b"", b"")
    monkeypatch.setattr(programs.subprocess, "run", lambda *args, **more: dead)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(InputError, match=r"died \(signal 9\) before it had a report; a run would most likely"):
            programs.check(tiny.ROOT / "configs" / "quick.yaml", (), ())
    finally:
        signal.signal(signal.SIGTERM, before)


def test_every_run_is_audited_and_predicted(made: tuple[Path, Path], tmp_path: Path) -> None:
    ran = tiny.train_here(tiny.new_run(tmp_path / "run", tiny.settings(*made)))
    (audited,) = ran.of(e.Audited)
    assert re.fullmatch("[0-9a-f]{16}", audited.rendered)
    assert (audited.rows_used, audited.supervised_tokens, audited.cut) == (14, 83, 0)
    first, second = ran.of(e.Predicted)
    kinds = [record.event.kind for record in ran.records]
    assert kinds.index("audited") < kinds.index("predicted") < kinds.index("topic_started")
    assert kinds.index("topic_finished") < len(kinds) - 1 - kinds[::-1].index("predicted")
    assert 0 < first.least < first.seconds
    (finished,) = ran.of(e.RunFinished)
    told = json.loads(ran.run.summary.read_text())["prediction"]
    assert finished.predicted_seconds == told["of_what_ran"] == told["at_start"] == round(first.seconds, 1)
    assert told["after_first_topic"] == round(second.seconds, 1)
    assert told["real"] == round(finished.seconds, 1)
    assert told["ratio"] == pytest.approx(first.seconds / finished.seconds, abs=2e-3)
    assert told["process_bytes"] > told["peak_bytes"] > 1e6
    assert f" predicted={finished.predicted_seconds:.0f} " in ran.run.log.read_text().splitlines()[-1]


# --- the arithmetic


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    path = tmp_path / "c.yaml"
    path.write_text("curriculum: {path: x}\n")
    return load_config(path)


WORK = TopicWork(sft=1000, dpo=400, reference=200, read=100, answers=50)
RATES = Rates(sft=0.01, dpo=0.02, forward=0.003, decode=0.1, phase=1.0)
EVALUATION = 50 * 0.1 + 100 * 0.003


def test_a_topic_adds_up(config: RunConfig) -> None:
    span = of_topics([WORK], RATES, config, begun=False, exam=0.0)
    sft = 1000 * 0.01 + 1.0 + EVALUATION
    assert span.least == pytest.approx(sft)
    assert span.seconds == pytest.approx(sft + 200 * 0.003 + 400 * 0.02 + 1.0 + EVALUATION)
    two = of_topics([WORK, WORK], RATES, config, begun=False, exam=0.0)
    assert two.seconds == pytest.approx(2 * span.seconds + EVALUATION)  # the second is scored as it starts, too


def record(seq: int, t: float, event: e.Event) -> Record:
    return Record(seq, t, event)


def test_rates_are_refined_by_what_was_measured() -> None:
    step = e.Step(ONE, "sft", 1, 2, 2.0, 1e-3, 1.0, 500, 200, 4.0, 1)
    scored = e.Evaluated(ONE, "sft", 0.5, 0.5, 0.5, {}, None, "ok", 10.3)
    before = e.Evaluated(ONE, "before", 0.5, 0.5, 0.5, {}, None, "ok", 99.0)
    found = refined({ONE: WORK}, RATES, [record(i, i, event) for i, event in enumerate([before, step, scored])])
    assert found == Rates(sft=0.008, dpo=0.008, forward=0.003, decode=pytest.approx(0.2), phase=1.0)
    assert refined({ONE: WORK}, RATES, []) == Rates(0.01, 0.01, 0.003, 0.1, 1.0)


def test_a_pause_is_in_nobodys_prediction() -> None:
    events: list[tuple[float, e.Event]] = [
        (0, e.Preparing("a")),
        (5, e.Paused("b")),
        (9, e.Resumed("b")),
        (20, e.Paused("b")),
        (26, e.Preparing("still there")),
        (90, e.EngineRestarted(None, None, 1)),
        (95, e.Paused("b")),
        (97, e.Preparing("the journal ends here")),
    ]
    assert read_history(record(i, t, event) for i, (t, event) in enumerate(events)).waited == 4 + 6 + 2


def test_dpo_counts_where_it_ran() -> None:
    said = e.Predicted(100.0, 60.0, "a guess")
    assert predicted_seconds(said, {ONE}, len(tiny.TOPICS)) == 60 + 40 / 4
    assert predicted_seconds(said, set(), len(tiny.TOPICS)) == 60


def test_answers_that_were_cut_count_to_the_limit() -> None:
    assert as_answered(WORK, 0, 96) == WORK
    assert as_answered(WORK, 1, 96) == replace(WORK, answers=96)
