"""What becomes of a run folder whose engine refused it."""

from pathlib import Path

from engine.contract import events as e
from engine.contract.journal import JournalWriter
from engine.contract.rundir import RunDir
from mindprint_tui import launcher


def refused(folder: Path, *events: e.Event) -> RunDir:
    run = RunDir(folder)
    folder.mkdir()
    writer = JournalWriter(run.journal)
    for event in (e.RunStarted("r", "c", 0, 1, {}), *events, e.Failed("input", "no such model", "")):
        writer.append(event)
    writer.close()
    return run


def test_a_new_run_that_was_refused_is_removed(tmp_path: Path) -> None:
    run = refused(tmp_path / "new")
    launcher.discard_refused(run)
    assert not run.path.exists()


def test_a_run_that_had_begun_stays_when_it_is_refused_at_its_resumption(tmp_path: Path) -> None:
    run = refused(tmp_path / "old", e.TopicStarted("unit-01/chapter-01/topic-01", 1, 2))
    (run.path / "adapters").mkdir()
    launcher.discard_refused(run)
    assert run.adapters.is_dir()
