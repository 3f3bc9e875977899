"""The numbers of a run as rows: all of them, none of the void ones, and the same live as after the fact."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from golden import put, said

from engine.contract import events as e
from engine.contract.errors import InputError
from engine.contract.journal import read_journal
from engine.contract.rundir import RunDir
from mindprint_tui import metrics, sinks
from mindprint_tui.cli import cli
from mindprint_tui.feed import Feed

Story = Callable[[str], RunDir]


def table(run: RunDir, follow: bool = False) -> list[dict[str, str]]:
    out = io.StringIO()
    metrics.pour(Feed(run), sinks.Csv(out), follow)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def test_every_step_evaluation_and_verdict_is_a_row(story: Story) -> None:
    run = story("happy")
    rows = table(run)
    for kind, event in (("step", e.Step), ("evaluated", e.Evaluated), ("finished", e.TopicFinished)):
        wanted = [record for record in read_journal(run.journal) if isinstance(record.event, event)]
        assert [int(row["seq"]) for row in rows if row["kind"] == kind] == [record.seq for record in wanted]
        for row, record in zip((row for row in rows if row["kind"] == kind), wanted, strict=True):
            values = {name: getattr(record.event, name, None) for name in metrics.COLUMNS}
            for name, value in values.items():
                assert name in ("seq", "time", "kind") or value is None or row[name] == str(value), name
    steps = [row for row in rows if row["kind"] == "step"]
    assert [int(row["run_step"]) for row in steps] == list(range(1, len(steps) + 1))
    assert {row["topic_index"] for row in steps} == {"1", "2", "3", "4"}


def test_every_figure_of_an_evaluation_is_a_column(tmp_path: Path) -> None:
    figures = {item.name for item in fields(e.Evaluated) if item.type in (float, float | None)}
    assert {"voice", "heldout_gap"} < figures <= set(metrics.COLUMNS)
    event = e.Evaluated("a/b/c", "before", 0.5, 0.25, 0.375, {}, 0.5, "ok", 1.0, heldout_gap=-0.125)
    run = put(tmp_path / "run", said(event))
    assert [row["heldout_gap"] for row in table(run)] == ["-0.125"]


def test_steps_that_a_restart_made_void_do_not_come_out(story: Story) -> None:
    steps = [row for row in table(story("restarted")) if row["kind"] == "step" and row["topic_index"] == "2"]
    assert [int(row["step"]) for row in steps] == list(range(1, 15))


def test_live_a_step_that_is_trained_again_comes_again_in_its_place(story: Story) -> None:
    run = story("restarted")
    rows = metrics.Rows(patient=False)
    steps = [row for record in read_journal(run.journal) for row in rows.take(record) if row["kind"] == "step"]
    second = [(row["step"], row["run_step"]) for row in steps if row["topic_index"] == 2]
    assert second == [(step, 12 + step) for step in [*range(1, 18), *range(11, 15)]]


def test_following_ends_with_the_engine(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal grows while it is followed, and the last lines come after the engine has gone."""
    run = story("happy")
    lines = run.journal.read_bytes().splitlines(keepends=True)
    run.journal.write_bytes(b"".join(lines[:40]))
    early = table(run)
    looks: Iterator[bool] = iter([True, True, False, False])
    monkeypatch.setattr(Feed, "alive", lambda self: next(looks, False))
    monkeypatch.setattr(metrics.time, "sleep", lambda seconds: run.journal.write_bytes(b"".join(lines)))
    followed = table(run, follow=True)
    assert followed == table(run)
    assert followed[: len(early)] == early != followed


def test_a_cell_is_no_formula(tmp_path: Path) -> None:
    run = put(tmp_path / "run", said(e.TopicFinished("=1+1", "passed", "", 1.0)))
    assert table(run)[0]["topic"] == "'=1+1"


def test_tags_of_a_step_and_of_an_evaluation(story: Story) -> None:
    rows = metrics.Rows(patient=True)
    out = [row for record in read_journal(story("happy").journal) for row in rows.take(record)]
    found: dict[str, Any] = {}
    for row in out:
        found |= sinks.scalars(row)
    tags = {"sft/loss", "sft/tokens_per_second", "dpo/margin", "dpo/preference_accuracy"}
    scores = {"scores/before/voice", "scores/start/voice", "scores/sft/voice/assent", "scores/dpo/preference_accuracy"}
    assert tags | scores <= set(found)
    assert found["sft/tokens_per_second"] == pytest.approx(480 / 2.1)


class FakeWandb:
    """What is used of the wandb module."""

    class Error(Exception):
        """Its own kind."""

    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []
        self.begun: dict[str, Any] = {}
        self.finished = 0
        self.axes: dict[str, str] = {}

    def init(self, **settings: Any) -> "FakeWandb":
        if settings["project"] == "nobody":
            raise self.Error("no API key configured")
        self.begun = settings
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        self.axes[name] = step_metric

    def log(self, row: dict[str, Any]) -> None:
        self.logged.append(row)

    def finish(self) -> None:
        self.finished += 1


def test_weights_and_biases_get_settings_and_every_row(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setattr(sinks.importlib, "import_module", lambda name: {"wandb": fake}[name])
    run = story("finished")
    done = CliRunner().invoke(cli, ["metrics", "finished", "--wandb", "--project", "keeper"], standalone_mode=False)
    assert done.exception is None and done.output == ""
    assert (fake.begun["project"], fake.begun["name"]) == ("keeper", "finished")
    assert fake.begun["config"]["thresholds"]["voice"] == 0.6
    drawn = [row for row in table(run) if row["kind"] != "finished"]
    assert len(fake.logged) == len(drawn) and fake.finished == 1
    for row in fake.logged:
        axes = {axis for pattern, axis in fake.axes.items() for tag in row if fnmatch(tag, pattern)}
        assert len(axes) == 1 and axes <= set(row)


def test_what_wandb_refuses_is_a_sentence(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks.importlib, "import_module", lambda name: FakeWandb())
    with pytest.raises(InputError, match="wandb cannot begin a run: no API key configured"):
        metrics.pour(Feed(story("finished")), sinks.WandB("nobody"), False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name one of --csv, --tensorboard DIR and --wandb"),
        (["--csv", "--wandb"], "name one of"),
        (
            ["--tensorboard", "board"],
            "tensorboard is not installed; it comes with: pip install 'mindprint-tui[tensorboard]'",
        ),
        (["--wandb"], "wandb is not installed; it comes with: pip install 'mindprint-tui[wandb]'"),
    ],
)
def test_what_is_missing_is_said(
    story: Story, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    story("finished")
    for name in ("wandb", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    done = CliRunner().invoke(cli, ["metrics", "finished", *arguments])
    assert sentence in str(done.exception) + done.output and "seq,time" not in done.output


def test_a_second_copy_is_not_drawn_over_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "board" / "run").mkdir(parents=True)
    module = SimpleNamespace(EventFileWriter=None, Event=None, Summary=None)
    monkeypatch.setattr(sinks.importlib, "import_module", lambda name: module)
    with pytest.raises(InputError, match="exists already, and a second copy would be drawn over it"):
        sinks.TensorBoard(tmp_path / "board", "run")
