"""A configured judge rates by itself when a run has ended, and its end changes nothing about the run's."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import judged
import pytest
from judge_server import Behave, replies, serving

from engine import supervise
from engine.contract.journal.judge_file import read_judgement
from engine.contract.run_folder.folder import RunDir
from engine.contract.run_folder.lock import holder
from mindprint_tui.headless import Headless
from mindprint_tui.process import programs

FAKE = (sys.executable, str(Path(__file__).parents[2] / "support" / "fake_engine.py"))
SUPERVISE = "import sys; from engine import supervise; supervise.ENGINE = tuple({fake!r}); sys.exit(supervise.main())"


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fake engine, and this process's signals as they were afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(supervise, "ENGINE", FAKE)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def begun(folder: Path, curriculum: Path, life: str, **judge: Any) -> RunDir:
    """A run that the fake engine ends as `life` says."""
    run = judged.make_run(folder, curriculum, judge, finished=False)
    (run.path / "lives.txt").write_text(life)
    return run


@pytest.mark.parametrize(("status", "behave"), [(0, judged.expert), (1, judged.fluent_only), (0, replies("9"))])
def test_the_judge_rates_when_the_run_has_ended_and_the_status_is_the_runs(
    curriculum, tmp_path, status, behave
) -> None:
    free = []

    def heard(handler, asked) -> None:
        free.append(holder(run) is None)
        behave(handler, asked)

    with serving(heard) as server:
        run = begun(tmp_path / "run", curriculum, f"finish={status}", model="m", endpoint=server.address)
        assert supervise.Supervisor(run).run() == status
    assert free and all(free)  # the run is no longer locked
    assert (read_judgement(run).rated is not None) == (len(free) == 60)


@pytest.mark.parametrize(("life", "status"), [("finish=130 exit=130", 130), ("exit=3", 3)])
def test_a_run_that_was_stopped_or_died_is_not_rated(curriculum, tmp_path, life: str, status: int) -> None:
    with serving(judged.expert) as server:
        run = begun(tmp_path / "run", curriculum, life, model="m", endpoint=server.address)
        assert supervise.Supervisor(run).run() == status
    assert server.asked == [] and not run.judge.exists()


def said(run: RunDir, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = SUPERVISE.format(fake=FAKE)

    def spawn(run: RunDir) -> subprocess.Popen[bytes]:
        with open(run.output, "ab") as output:
            return subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=output, stderr=output)

    monkeypatch.setattr(programs, "spawn", spawn)
    return Headless(run).follow(), capfd.readouterr().out


@pytest.mark.parametrize(
    ("behave", "words"), [(judged.expert, "its controls hold"), (replies("9"), "no judge has rated")]
)
def test_plain_lines_say_what_the_judge_found(curriculum, tmp_path, monkeypatch, capfd, behave: Behave, words) -> None:
    with serving(behave) as server:
        run = begun(tmp_path / "run", curriculum, "finish=1", model="m", endpoint=server.address)
        status, out = said(run, monkeypatch, capfd)
    assert status == 1 and "a judge rates the answers now" in out and words in out
    assert ("found the mark '9'" in run.output.read_text()) == (words == "no judge has rated")
