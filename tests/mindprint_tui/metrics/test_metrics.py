"""The numbers of a run as rows: all of them, none of the void ones, and the same live as after the fact."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from golden import put, said
from msgspec.structs import fields, replace

from engine.contract.errors import InputError
from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.journal.live import live
from engine.contract.journal.store import read_journal
from engine.contract.run_folder.folder import RunDir
from mindprint_tui.cli import cli
from mindprint_tui.journal.feed import Feed
from mindprint_tui.metrics import rows as metric_rows
from mindprint_tui.metrics import sinks

Story = Callable[[str], RunDir]


def table(run: RunDir, follow: bool = False) -> list[dict[str, str]]:
    out = io.StringIO()
    metric_rows.write_metrics(Feed(run), sinks.Csv(out), follow)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def test_learned_scores_have_their_intervals_and_counts(story: Story) -> None:
    scored = [row for row in table(story("learned")) if row["kind"] == "evaluated"]
    after = next(row for row in scored if row["stage"] == "dpo")
    assert (after["voice"], after["voice_low"], after["voice_high"]) == ("0.86", "0.69", "1.03")
    assert (after["closeness"], after["questions"], after["void"], after["relevance_low"]) == (
        "0.57",
        "3",
        "0",
        "0.264",
    )
    assert sorted(row["void"] for row in scored)[-2:] == ["1", "1"]


def test_every_step_evaluation_and_verdict_is_a_row(story: Story) -> None:
    run = story("happy")
    rows = table(run)
    for kind, event in (("step", e.Step), ("evaluated", e.Evaluated), ("finished", e.TopicFinished)):
        wanted = [record for record in read_journal(run.journal) if isinstance(record.event, event)]
        assert [int(row["seq"]) for row in rows if row["kind"] == kind] == [record.seq for record in wanted]
        for row, record in zip((row for row in rows if row["kind"] == kind), wanted, strict=True):
            values = {name: getattr(record.event, name, None) for name in metric_rows.COLUMNS}
            values |= dict.fromkeys(metric_rows.COUNTS)  # this engine did not count them
            for name, value in values.items():
                assert name in ("seq", "time", "kind") or value is None or row[name] == str(value), name
    steps = [row for row in rows if row["kind"] == "step"]
    assert [int(row["run_step"]) for row in steps] == list(range(1, len(steps) + 1))
    assert {row["topic_index"] for row in steps} == {"1", "2", "3", "4"}


def test_every_figure_of_an_evaluation_is_a_column(tmp_path: Path) -> None:
    figures = {item.name for item in fields(e.Evaluated) if item.type in (float, float | None)}
    assert {"voice", "heldout_gap"} < figures <= set(metric_rows.COLUMNS)
    event = e.Evaluated("a/b/c", "before", 0.5, 0.25, 0.375, {}, 0.5, "ok", 1.0, heldout_gap=-0.125)
    run = put(tmp_path / "run", said(event))
    assert [row["heldout_gap"] for row in table(run)] == ["-0.125"]


def test_steps_that_a_restart_made_void_do_not_come_out(story: Story) -> None:
    steps = [row for row in table(story("restarted")) if row["kind"] == "step" and row["topic_index"] == "2"]
    assert [int(row["step"]) for row in steps] == list(range(1, 15))


def test_an_evaluation_that_a_restarted_engine_made_again_comes_once(story: Story) -> None:
    """The engine died between the evaluation and the phase's end, which is scored once more."""
    records = read_journal(story("happy").journal)
    place = next(n for n, record in enumerate(records) if getattr(record.event, "stage", None) == "sft" and n > 20)
    while not isinstance(records[place].event, e.Evaluated):
        place += 1
    found = records[place]
    asked = Record(0, 1.0, replace(found.event, stage="reevaluated"))
    again = [*records[: place + 1], asked, Record(0, 1.0, e.Restored(found.seq, "goes on")), found, asked]
    renumbered = [replace(record, seq=seq) for seq, record in enumerate([*again, *records[place + 1 :]])]

    def scored(patient: bool) -> list[tuple[Any, ...]]:
        rows = metric_rows.Rows(patient)
        out = [
            *(row for record in (live(renumbered) if patient else renumbered) for row in rows.take(record)),
            *rows.rest(),
        ]
        return [(row["topic"], row["stage"]) for row in out if row["kind"] == "evaluated"]

    same, asked_of = (found.event.topic, "sft"), (found.event.topic, "reevaluated")
    assert (scored(True).count(same), scored(False).count(same)) == (1, 2)
    assert scored(True).count(asked_of) == scored(False).count(asked_of) == 2
    assert len(scored(True)) == len(scored(False)) - 1


def test_a_row_is_out_as_soon_as_it_is_there(story: Story, tmp_path: Path) -> None:
    """Through a pipe or into a file, where Python would hold eight thousand bytes back."""
    records = read_journal(story("happy").journal)
    rows, file = metric_rows.Rows(patient=False), tmp_path / "numbers.csv"
    with open(file, "w", encoding="utf-8") as out:
        sink, written = sinks.Csv(out), 0
        for record in records:
            found = rows.take(record)
            sink.write(found)
            written += len(found)
            assert len(file.read_text().splitlines()) == 1 + written
    assert written > 40


def test_live_a_step_that_is_trained_again_comes_again_in_its_place(story: Story) -> None:
    run = story("restarted")
    rows = metric_rows.Rows(patient=False)
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
    monkeypatch.setattr(metric_rows.time, "sleep", lambda seconds: run.journal.write_bytes(b"".join(lines)))
    followed = table(run, follow=True)
    assert followed == table(run)
    assert followed[: len(early)] == early != followed


def test_a_cell_is_no_formula(tmp_path: Path) -> None:
    run = put(tmp_path / "run", said(e.TopicFinished("=1+1", "passed", "", 1.0)))
    assert table(run)[0]["topic"] == "'=1+1"


def test_tags_of_a_step_and_of_an_evaluation(story: Story) -> None:
    rows = metric_rows.Rows(patient=True)
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


def test_a_run_whose_first_line_is_damaged_is_begun_under_its_folder_s_name(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setattr(sinks.importlib, "import_module", lambda name: {"wandb": fake}[name])
    run = story("finished")
    whole = len(table(run))
    run.journal.write_bytes(b"{damaged\n" + run.journal.read_bytes().partition(b"\n")[2])
    metric_rows.write_metrics(Feed(run), sinks.WandB("keeper"), False)
    assert (fake.begun["name"], fake.begun["config"]) == ("finished", {})
    assert len(fake.logged) == whole - 3 and fake.finished == 1  # a verdict is not drawn


def test_what_wandb_refuses_is_a_sentence(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks.importlib, "import_module", lambda name: FakeWandb())
    with pytest.raises(InputError, match="wandb cannot begin a run: no API key configured"):
        metric_rows.write_metrics(Feed(story("finished")), sinks.WandB("nobody"), False)


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
