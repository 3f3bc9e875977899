"""The real model, from the command line to mlx-lm: what the engine says of its adapters is what other tools see."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.utils import load
from mlx_lm.utils import load_model as load_folder

from engine.contract.journal import events as e
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.folder import RunDir
from engine.data.templates.chat_template import Message, Renderer
from engine.model.loading import locate

TOPIC = "unit-01/chapter-01/topic-01"
PROGRAM = Path(sys.executable).with_name("mindprint-tui")
SHORT = [
    "foundation.epochs=0",
    "sft.epochs=3",
    "sft.learning_rate=1e-3",
    "dpo.steps=3",
    "dpo.when=always",
    "evaluation.max_tokens=40",
    "evaluation.repetition_penalty=1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A whole run of one topic, both phases, as a person starts it; phases are kept whatever they score."""
    logs = tmp_path_factory.mktemp("logs")
    overrides = [word for text in (*SHORT, "thresholds.worse=1") for word in ("--set", text)]
    command = [
        PROGRAM,
        "--no-ui",
        "configs/quick.yaml",
        "--topic",
        TOPIC,
        "--logs",
        logs,
        "--run-id",
        "real",
        *overrides,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "adapter fused phase=sft" in done.stdout
    return RunDir(logs / "real")


def samples(run: RunDir, stage: str) -> list[e.Sample]:
    events = [record.event for record in read_journal(run.journal)]
    return [event for event in events if isinstance(event, e.Sample) and event.stage == stage]


def same_greedy_text(model_folder: Path, adapter: Path | None, sample: e.Sample) -> None:
    """mlx_lm.generate, in a process of its own, says what the engine said; a first difference needs a near tie."""
    extra = ["--adapter-path", str(adapter)] if adapter else []
    command = [sys.executable, "-c", GENERATE, "--model", str(model_folder), "--prompt", sample.question]
    command += ["--max-tokens", "40", "--temp", "0.0", "--verbose", "False", *extra]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    same_up_to_a_tie(done.stdout.strip(), model_folder, adapter, sample)


def same_up_to_a_tie(said: str, model_folder: Path, adapter: Path | None, sample: e.Sample) -> None:
    if said == sample.answer.strip():
        return
    model, tokenizer = load(str(model_folder), adapter_path=str(adapter) if adapter else None)[:2]
    renderer = Renderer(tokenizer)
    ours = tokenizer.encode(sample.answer, add_special_tokens=False)
    theirs = tokenizer.encode(said, add_special_tokens=False)
    common = next(i for i, (a, b) in enumerate(zip([*ours, -1], [*theirs, -2], strict=False)) if a != b)
    ids = [*renderer.prompt_ids([Message("user", sample.question)]), *ours[:common]]
    best = mx.sort(model(mx.array([ids]))[0, -1])[-2:].tolist()
    assert best[1] - best[0] <= 1e-3, f"engine: {sample.answer!r}\nother: {said!r}"


GENERATE = """
from engine.model.backend import prepare
prepare()
from mlx_lm.generate import main
main()
"""


def test_committed_sft_adapter_in_mlx_lm(trained: RunDir) -> None:
    adapter = next(trained.adapters.glob("001-*-sft"))
    for sample in samples(trained, "sft"):
        same_greedy_text(locate("smollm2-135m-instruct", print), adapter, sample)


def test_exported_model_in_mlx_lm(trained: RunDir, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    command = [PROGRAM, "export", "real", "--to", target, "--logs", trained.path.parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    last = "dpo" if any(trained.adapters.glob("*-dpo")) else "sft"
    for sample in samples(trained, last):
        same_greedy_text(target, None, sample)
    declared = json.loads((trained.adapters / "ledger.json").read_text())["fingerprint"]
    assert declared in done.stdout
    assert json.loads(trained.summary.read_text())["fingerprint"] == declared
    assert load_folder(target)[0].layers


def test_one_adapter_in_mlx_lm_and_in_a_conversation(trained: RunDir, tmp_path: Path) -> None:
    """All deltas as one adapter on the base, and what `chat` says of either, are what the engine said."""
    command = [
        PROGRAM,
        "export",
        "real",
        "--to",
        tmp_path / "one",
        "--format",
        "adapter",
        "--logs",
        trained.path.parent,
    ]
    subprocess.run(command, check=True)
    base, last = locate("smollm2-135m-instruct", print), samples(trained, "dpo")[0]
    same_greedy_text(base, tmp_path / "one", last)
    for stage, adapter, sample in (
        ((), tmp_path / "one", last),
        (("--stage", "before"), None, samples(trained, "before")[0]),
    ):
        command = [PROGRAM, "chat", "real", *stage, "--logs", trained.path.parent]
        done = subprocess.run(command, input=f"{sample.question}\n", capture_output=True, text=True, check=True)
        said = done.stdout.strip().removesuffix("… [cut at the token limit]").strip()
        same_up_to_a_tie(said, base, adapter, sample)


def test_every_event_is_there_and_numbered(trained: RunDir) -> None:
    records = read_journal(trained.journal)
    assert [record.seq for record in records] == list(range(len(records)))
    kinds = [record.event.kind for record in records]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    for kind in ("model_loaded", "curriculum_loaded", "topic_started", "phase_started", "adapter", "step", "decided"):
        assert kind in kinds, kind
    steps = [record.event for record in records if isinstance(record.event, e.Step)]
    assert [step.step for step in steps if step.phase == "sft"] == [1, 2, 3, 4, 5, 6]
    assert [step.step for step in steps if step.phase == "dpo"] == [1, 2, 3]
    dpo = [step for step in steps if step.phase == "dpo"]
    assert abs(dpo[0].loss - 0.6931) < 1e-3
    assert dpo[-1].margin is not None and dpo[-1].margin > 0
    assert steps[5].loss < steps[0].loss


def test_the_log_keeps_its_greppable_lines(trained: RunDir) -> None:
    log = trained.log.read_text()
    assert "voice=" in log
    assert "adapter attached phase=sft" in log
    assert "adapter fused phase=sft" in log
    assert "trainable=737280 expected=737280" in log


def test_the_run_folder_is_private(trained: RunDir) -> None:
    assert trained.path.stat().st_mode & 0o777 == 0o700
    for file in trained.path.rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file
